#!/usr/bin/env bash
# Does `trimtab run` end as well by DNS as by reload? Pairs of runs with one seed each take turns on NGINX 1.30 of the matrix, the way that
# goes first changing with every pair; medians over the pairs are printed, of the p99 of the tuned part (45 s) and of its last 24 s, in
# which the queue of the overload at the beginning is gone. CHRT=5 runs them before everything else on the machine (needs root).
#   usage: scripts/bench-actuators.sh [pairs=5] [first seed=1] [suite=sid]
set -euo pipefail
cd "$(dirname "$0")/.."
pairs=${1:-5} first=${2:-1} suite=${3:-sid}
dir=$(mktemp -d /tmp/trimtab-actuators-XXXXXX)
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/trimtab" ./cmd/trimtab
before=(); [ -z "${CHRT:-}" ] || before=(chrt -r "$CHRT")
for ((pair = 0; pair < pairs; pair++)); do
  ways=(reload dns); [ $((pair % 2)) = 0 ] || ways=(dns reload)
  for way in "${ways[@]}"; do
    out=$dir/$pair-$way
    scripts/nginx-matrix.sh with "$suite" "${before[@]}" "$dir/trimtab" run --actuator "$way" --seed $((first + pair)) --out "$out" --json \
      >"$out.json" 2>"$out.log" || { tail -n 5 "$out.log"; exit 1; }
    python3 - "$out.json" "$way" $((first + pair)) <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
end = r["intervals"][-1]["at_s"]
last = sorted(i["p99_ms"] for i in r["intervals"] if i["at_s"] > end - 24)
print(f"seed {sys.argv[3]:>2} {sys.argv[2]:<6}  p99 tuned {r['tuned']['latency_ms']['p99']:8.1f} ms, of the last intervals {last[len(last) // 2]:6.1f} ms;"
      f" errors {r['tuned']['errors']}, reloads {r['tuned']['reloads'] + r['transition']['reloads']}, late by {r['lateness_ms']['p99']:.1f} ms", flush=True)
PY
  done
done
python3 - "$dir" <<'PY'
import glob, json, statistics, sys
for way in ("reload", "dns"):
    runs = [json.load(open(f)) for f in glob.glob(f"{sys.argv[1]}/*-{way}.json")]
    tuned = [r["tuned"]["latency_ms"]["p99"] for r in runs]
    last = [statistics.median(i["p99_ms"] for i in r["intervals"] if i["at_s"] > r["intervals"][-1]["at_s"] - 24) for r in runs]
    print(f"{way:<6}  median p99 tuned {statistics.median(tuned):8.1f} ms ({min(tuned):.0f} to {max(tuned):.0f}), of the last 24 s "
          f"{statistics.median(last):6.1f} ms ({min(last):.0f} to {max(last):.0f}), {sum(r['tuned']['errors'] for r in runs)} errors")
PY
