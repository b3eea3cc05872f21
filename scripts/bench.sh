#!/usr/bin/env bash
# make bench: the Go benchmarks, then every comparison scripts/bench-*.sh. Figures are ratios within one run.
set -euo pipefail
cd "$(dirname "$0")/.."
go test -run '^$' -bench . -benchmem ./...
for script in scripts/bench-*.sh; do
  [ -x "$script" ] || continue
  echo "== $script"
  "$script"
done
