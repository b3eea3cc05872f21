#!/usr/bin/env bash
# The testbed's rows and plots of docs/lab/objectives.md again: one run per objective on a real NGINX. What is printed goes into the
# table by hand; the plots of the policy pursue replace those in docs/lab. It takes three quarters of an hour on an idle machine, since
# all run at once (they carry few requests), and then a quarter of an hour for the brown-out. Intervals in which the machine was late
# are left out, and the rows say how many: on a busy machine nothing is left to score.
#   usage: scripts/objectives.sh [duration=15m] [warmup=3m]      variables: OUT (out/objectives), DIR (docs/lab), TRIMTAB (bin/trimtab)
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:-15m} warmup=${2:-3m}
out=${OUT:-out/objectives} dir=${DIR:-docs/lab} binary=${TRIMTAB:-bin/trimtab}
[ -x "$binary" ] || { echo "objectives: $binary is missing: run 'make build' first" >&2; exit 1; }
mkdir -p "$out"

play() { # scenario flags...
  local scenario=$1
  shift
  "$binary" arena "$scenario" --world testbed --actuator live --seeds 1 --out "$out/$scenario" "$@" >"$out/$scenario.txt"
}
pids=()
for scenario in mesh-throughput mesh-throughput-unseen mesh-differentiation mesh-guarantee; do
  play "$scenario" --policy optimal,optimal-late,pursue --duration "$duration" --warmup "$warmup" &
  pids+=($!)
done
for scenario in mesh-delay-bound mesh-tardiness; do
  play "$scenario" --policy optimal,pursue --duration "$duration" --warmup "$warmup" &
  pids+=($!)
done
play mesh-compute-steps --policy optimal,pursue &
pids+=($!)
play mesh-compute --policy optimal,pursue --duration 10m --warmup 2m &
pids+=($!)
failed=0
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
play mesh-brown-out --policy pursue --duration 14m --warmup 4m || failed=1

for scenario in "$out"/*.txt; do cat "$scenario"; done
for rows in "$out"/*/rows.ndjson; do
  python3 - "$rows" <<'PY'
import json, sys
for line in open(sys.argv[1]):
    row = json.loads(line)
    score = row["objective"]
    print(f'{row["scenario"]} {row["policy"]}: {score["intervals"]} intervals scored, {score["disturbed"]} left out')
PY
done
picture() { # scenario name
  local from="$out/$1/$1-objective-pursue.png"
  [ ! -e "$from" ] || cp "$from" "$dir/objectives-$2.png"
}
picture mesh-throughput throughput
picture mesh-throughput-unseen throughput-unseen
picture mesh-differentiation differentiation
picture mesh-guarantee guarantee
picture mesh-delay-bound delay-bound
picture mesh-tardiness tardiness
picture mesh-compute-steps compute
picture mesh-brown-out brown-out
[ $failed -eq 0 ] || { echo "objectives: not everything could be played" >&2; exit 1; }
