#!/usr/bin/env bash
# A mixture of 8 components fitted to a file of 10 million rows of 16 numbers without holding it, in a process that
# may not take more than 2 GiB; and one assignment of an interval of 37 features to 27 regimes.
#
#   scripts/bench-mixture-stream.sh [ROWS]      default 10000000; the file takes about 0.13 KB per row in $TMPDIR
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go test -c -o "$dir/cluster.test" ./cluster
cd cluster
"$dir/cluster.test" -test.run '^$' -test.bench '^BenchmarkAssign$'
echo "largest resident size is peak-MiB; the limit is 2048"
TRIMTAB_STREAM_ROWS="${1:-10000000}" "$dir/cluster.test" -test.run '^$' -test.bench '^BenchmarkFitCSV$' -test.benchtime 1x | tee "$dir/out"
awk '/peak-MiB/ { for (i = 2; i <= NF; i++) if ($i == "peak-MiB") peak = $(i-1) } END { if (peak == "" || peak > 2048) { print "bench-mixture-stream: peak " peak " MiB, want at most 2048" > "/dev/stderr"; exit 1 } }' "$dir/out"
