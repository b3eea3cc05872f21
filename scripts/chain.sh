#!/usr/bin/env bash
# Plays random worlds from the bytes of a status page through decoding, difference, decision, metrics, explanation and JSON, for as many
# pages as are asked for, on one core and after everybody else. It ends with code 1 at the first panic or number that is none, with
# the seed, world and page at which it was.
#   usage: scripts/chain.sh [pages=10000000] [seed=1]
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(mktemp /tmp/trimtab-chain-XXXXXX)
trap 'rm -f "$program"' EXIT
go test -c -o "$program" ./daemon
TRIMTAB_CHAIN_PAGES=${1:-10000000} TRIMTAB_CHAIN_SEED=${2:-1} GOMAXPROCS=1 GOGC=1000 \
  GODEBUG=asyncpreemptoff=1 \
  nice -n "${NICE:-19}" "$program" -test.run '^TestChainFromPageToJSON$' -test.v -test.timeout 0
