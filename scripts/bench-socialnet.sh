#!/usr/bin/env bash
# Measures the emulated backends for about four minutes: are service times kept at 3,000 requests/s over three servers,
# with and without thousands of requests waiting, at what cost in processor time, and where is the knee of each server?
# Fails when a mean is off by more than 3 %, the cost above half a core, or a knee off by more than 5 %.
# On a machine that does other work too, TRIMTAB_MEASURE_WRAP="chrt -r 1" (root) keeps that work away from the backends.
set -euo pipefail
cd "$(dirname "$0")/.."
TRIMTAB_MEASURE=1 go test -count=1 -timeout 20m -run Measure -v ./deathstarbench/socialnet | sed -n 's/^ *measure_test.go:[0-9]*: //p; /^ *--- /p; /^FAIL/p; /^ok/p'
