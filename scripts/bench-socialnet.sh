#!/usr/bin/env bash
# Measures the emulated backends for about five minutes: are service times kept at 3,000 requests/s over three servers,
# with and without thousands of requests waiting, at what cost in processor time, and where is the knee of each server?
# Fails when a mean is off by more than 3 %, the cost above half a core, or a knee off by more than 5 %.
# REALTIME=1 (root) runs it at real-time priority, the backends above the load: on a machine that does other work too,
# that work is not measured.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go test -c -o "$dir/socialnet.test" ./deathstarbench/socialnet
wrap=()
if [ -n "${REALTIME:-}" ]; then
  wrap=(chrt -r 1)
  export TRIMTAB_MEASURE_WRAP="chrt -r 2"
fi
status=0
TRIMTAB_MEASURE=1 "${wrap[@]}" "$dir/socialnet.test" -test.timeout 20m -test.run "${RUN:-Measure}" -test.v >"$dir/out" || status=$?
sed -n 's/^ *measure_test.go:[0-9]*: //p; /^ *--- /p; /^FAIL/p' "$dir/out"
exit "$status"
