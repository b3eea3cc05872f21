#!/usr/bin/env bash
# The load generator against stock vegeta and wrk, and the fidelity of its arrivals: the figures of docs/lab/load.md.
# Rates are compared within interleaved rounds against one NGINX. With root, sender and recorder of the fidelity tables
# run at real-time priority, so that other processes on the machine do not show in them. Fails when an arrival misses a
# bound of the fidelity table; CELLS, a regular expression such as 5000, picks rows of it.
#   usage: [ROUNDS=5] [CELLS=…] scripts/bench-load.sh [peak] [programs] [accounting] [timing] [fidelity]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-5}
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

go build -o "$work/trimtab" ./cmd/trimtab
# vegeta's command from the very module that trimtab is built on, with the dependencies that it pins itself.
cp -r "$(go list -m -f '{{.Dir}}' github.com/tsenart/vegeta/v12)" "$work/vegeta-src"
chmod -R u+w "$work/vegeta-src"
if (cd "$work/vegeta-src" && go build -o "$work/vegeta" . 2>"$work/vegeta.log"); then
  export TRIMTAB_BENCH_VEGETA="$work/vegeta"
else
  echo "bench-load: skipping the comparison of programs: vegeta's command does not build here: $(tail -n 1 "$work/vegeta.log")"
fi
export TRIMTAB_BENCH_BIN="$work/trimtab" TRIMTAB_BENCH_WRK
TRIMTAB_BENCH_WRK=$(command -v wrk || true)
[ -n "$TRIMTAB_BENCH_WRK" ] || echo "bench-load: wrk is not installed, compared with vegeta only"
go test -c -o "$work/loadgen.test" ./loadgen

# rows prints the results of the benchmarks that match as one line of name=value each.
rows() {
  (cd loadgen && "$work/loadgen.test" -test.run '^$' -test.bench "$1" -test.benchtime "$2" -test.timeout 30m) |
    awk '/^Benchmark/ { printf "%s", $1; for (i = 3; i < NF; i += 2) if ($(i+1) != "ns/op" || $i > 0) printf "  %s=%s", $(i+1), $i; print ""; next }
         /disturb|SKIP|FAIL|panic|_test.go/ { print }'
}
wanted=${*:-peak programs accounting timing fidelity}
section() { # name, title
  [[ " $wanted " == *" $1 "* ]] && echo "== $2"
}
if section peak "peak rate inside one process: stock attack, our connections, everything"; then rows 'Peak$' "${rounds}x"; fi
if section programs "peak rate of whole programs, counted by NGINX"; then rows 'Programs$' "${rounds}x"; fi
if section accounting "our own work per request"; then
  rows 'Accounting$' 1s
  go test ./loadgen/arrival -run '^$' -bench Next | grep ^Benchmark
fi
if section timing "gaps of fixed arrivals at the server"; then rows 'Timing$' 1x; fi
if section fidelity "every arrival at three rates, at the server"; then
  status=0
  TRIMTAB_MEASURE_FIDELITY=1 "$work/loadgen.test" -test.run "MeasureFidelity${CELLS:+/$CELLS}" -test.v -test.timeout 30m >"$work/fidelity" || status=$?
  sed -n 's/^ *fidelity_test.go:[0-9]*: //p; /^ *--- /p; /^FAIL/p' "$work/fidelity"
  exit "$status"
fi
