#!/usr/bin/env bash
# One control step of the tuner in worlds of several sizes: ns/op, allocations, heap.
set -euo pipefail
cd "$(dirname "$0")/.."
go test ./tuner -run '^$' -bench 'Step' -benchtime 20x
