#!/usr/bin/env bash
# make bench: the Go benchmarks, then every comparison scripts/bench-*.sh. Figures are ratios within one run.
set -euo pipefail
cd "$(dirname "$0")/.."
go test -run '^$' -bench . -benchmem ./...
missed=()
for script in scripts/bench-*.sh; do
  [ -x "$script" ] || continue
  echo "== $script"
  "$script" || missed+=("$script")
done
if [ ${#missed[@]} -gt 0 ]; then
  echo "bench: a bound was missed in ${missed[*]}" >&2
  exit 1
fi
