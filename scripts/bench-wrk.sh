#!/usr/bin/env bash
# Do wrk and `trimtab load` agree about one testbed? wrk keeps 12 requests in flight (a closed loop, below the number of
# slots, so that nothing waits); `trimtab load` then sends at the rate that wrk reached (an open loop). Both read
# the same home timeline through NGINX, in turns of 15 s; printed are both and the ratios trimtab ÷ wrk.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-3} seconds=${SECONDS_PER_TURN:-15}
command -v wrk >/dev/null || { echo "skipped: wrk is not installed (apt-get install wrk)"; exit 0; }
dir=$(mktemp -d)
testbed=
cleanup() {
  if [ -n "$testbed" ]; then kill -INT "$testbed" 2>/dev/null || true; wait "$testbed" || true; fi
  rm -rf "$dir"
}
trap cleanup EXIT
go build -o "$dir/trimtab" ./cmd/trimtab
{
  echo 'name = "wrk"'; echo 'duration = "1h"'
  for s in a b c; do
    printf '[[server]]\nname = "%s"\nslots = 16\nservice_cv = 0.5\nservice = { compose-post = "20ms", read-home-timeline = "20ms", read-user-timeline = "20ms" }\n' "$s"
  done
  printf '[[upstream]]\nname = "home_read_backend"\nworkload = "read-home-timeline"\nservers = ["a", "b", "c"]\n'
  printf '[[load]]\nworkload = "read-home-timeline"\narrival = "exp"\nphases = [{ at = "0s", rate = 1 }]\n'
} >"$dir/wrk.toml"
"$dir/trimtab" testbed --scenario "$dir/wrk.toml" --listen 127.0.0.1:18099 --out "$dir/testbed" --seed 1 --json >"$dir/testbed.json" 2>"$dir/testbed.log" &
testbed=$!
for _ in $(seq 200); do [ -s "$dir/testbed.json" ] && break; kill -0 "$testbed" || { cat "$dir/testbed.log" >&2; exit 1; }; sleep 0.1; done
url='http://127.0.0.1:18099/wrk2-api/home-timeline/read?user_id=7&start=0&stop=10'
# ms turns wrk's 21.34ms, 1.02s or 950.00us into milliseconds.
ms() { awk -v v="$1" 'BEGIN { u = v; sub(/[0-9.]+/, "", u); sub(/[a-z]+/, "", v); print v * (u == "s" ? 1000 : u == "us" ? 0.001 : 1) }'; }
row='%-8s %10s %10s %10s %10s %10s\n'
# shellcheck disable=SC2059
printf "$row" '' 'rate/s' 'mean ms' 'p50 ms' 'p90 ms' 'p99 ms'
for _ in $(seq "$rounds"); do
  wrk -t1 -c12 -d"${seconds}s" --latency "$url" >"$dir/wrk.txt"
  if grep -q -E 'Non-2xx|Socket errors' "$dir/wrk.txt"; then cat "$dir/wrk.txt" >&2; exit 1; fi
  rate=$(awk '/Requests\/sec/ { print $2 }' "$dir/wrk.txt")
  w=("$rate" "$(ms "$(awk '$1 == "Latency" && $2 != "Distribution" { print $2 }' "$dir/wrk.txt")")")
  for p in 50% 90% 99%; do w+=("$(ms "$(awk -v p="$p" '$1 == p { print $2 }' "$dir/wrk.txt")")"); done
  "$dir/trimtab" load --target "$url" --arrival fixed --rate "$rate" --duration "${seconds}s" --seed 1 --json 2>/dev/null >"$dir/load.json"
  mapfile -t l < <(python3 - "$dir/load.json" <<'PY'
import json, sys
r = json.loads(open(sys.argv[1]).read().strip().splitlines()[-1])
if r["errors"]:
    sys.exit("errors: %d" % r["errors"])
print(r["rate_per_s"])
for k in ("mean", "p50", "p90", "p99"):
    print(r["latency_ms"][k])
PY
  )
  # shellcheck disable=SC2059
  { printf "$row" wrk "${w[@]}"; printf "$row" trimtab "${l[@]}"; } | awk '{ printf "%-8s", $1; for (i = 2; i <= NF; i++) printf " %10.2f", $i; print "" }'
  paste <(printf '%s\n' "${l[@]}") <(printf '%s\n' "${w[@]}") | awk 'BEGIN { printf "%-8s", "ratio" } { printf " %10.3f", $1 / $2 } END { print "" }'
done
