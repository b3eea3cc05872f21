#!/usr/bin/env bash
# One control step of the tuner in worlds of several sizes, the load changing every fourth step: ns/op, the slowest step,
# allocations, heap.
set -euo pipefail
cd "$(dirname "$0")/.."
go test ./tuner -run '^$' -bench 'Step' -benchtime 60x
