#!/usr/bin/env bash
# What the live page costs a daemon: the testbed (3 upstreams of 3 servers) under load, three Chromium that look at the page for
# SECONDS, then a quarter of it nobody. Every 10 s a line goes to OUT/soak-page.csv: resident memory and processor time of the daemon's
# processes. At the end both rates and the growth of memory. Needs Chromium (scripts/setup-watch.sh).
#   usage: scripts/soak-page.sh [SECONDS=3600] [OUT=out/soak-page]
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:-3600} out=${2:-out/soak-page}
idle=$((duration / 4))
for tool in nginx python3 curl chromium; do
  command -v "$tool" >/dev/null || { echo "soak-page: skipped: $tool is not installed"; exit 0; }
done
rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
go build -o "$out/trimtab" ./cmd/trimtab
trimtab=$out/trimtab
port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
listen=127.0.0.1:$(port) front=127.0.0.1:$(port)
started=()
cleanup() {
  for p in "${started[@]}"; do kill -TERM "$p" 2>/dev/null || true; done
  for p in "${started[@]}"; do wait "$p" 2>/dev/null || true; done
}
trap cleanup EXIT

"$trimtab" testbed --scenario capacity-1-2-4 --listen "$front" --out "$out/bed" --seed 1 --json >"$out/testbed.json" 2>"$out/testbed.log" &
started+=($!)
for _ in $(seq 600); do [ -s "$out/testbed.json" ] && break; sleep 0.1; done
field() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$out/testbed.json" "$1"; }
conf=$(field nginx_conf)
cat >"$out/trimtab.toml" <<CONF
interval = "3s"
state_dir = "$out/state"
listen = "$listen"
observe_first = "0s"
[status]
url = "$(field status_url)"
[nginx]
config = "$conf"
pid_file = "$(field pid_file)"
prefix = "$(dirname "$conf")"
CONF
"$trimtab" tune --config "$out/trimtab.toml" 2>"$out/daemon.log" &
daemon=$!
started+=("$daemon")
"$trimtab" load --target "http://$front" --workload mixed --arrival exp --rate "${RATE:-60}" --duration "$((duration + idle + 120))s" --seed 1 >"$out/load.out" 2>&1 &
started+=($!)
for _ in $(seq 600); do curl -sf -o /dev/null "http://$listen/page/live" && break; sleep 0.1; done

# The daemon and the worker that it has started: resident KiB and ticks of processor time.
processes() { echo "$daemon" "$(cat /proc/"$daemon"/task/*/children)"; }
measure() {
  local kib=0 ticks=0 p
  for p in $(processes); do
    kib=$((kib + $(awk '/^VmRSS/ {print $2}' "/proc/$p/status")))
    ticks=$((ticks + $(awk '{print $14 + $15}' "/proc/$p/stat")))
  done
  echo "$kib,$ticks"
}
sleep 30 # what a start takes is not of the page
echo "second,browsers,rss_kib,ticks" >"$out/soak-page.csv"
began=$SECONDS
watch() { # number of browsers, seconds
  local until=$((SECONDS + $2))
  while [ $SECONDS -lt $until ]; do
    echo "$((SECONDS - began)),$1,$(measure)" >>"$out/soak-page.csv"
    sleep 10
  done
  echo "$((SECONDS - began)),$1,$(measure)" >>"$out/soak-page.csv"
}
browsers=()
for i in 1 2 3; do
  chromium --headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update \
    --disable-sync --user-data-dir="$out/profile-$i" "http://$listen/" >/dev/null 2>&1 &
  browsers+=($!)
done
started+=("${browsers[@]}")
watch 3 "$duration"
for p in "${browsers[@]}"; do kill -TERM "$p" 2>/dev/null || true; wait "$p" 2>/dev/null || true; done
watch 0 "$idle"
python3 - "$out/soak-page.csv" "$(getconf CLK_TCK)" <<'PY'
import csv, sys
rows = [{k: int(v) for k, v in r.items()} for r in csv.DictReader(open(sys.argv[1]))]
hz = int(sys.argv[2])
def core(n):
    part = [r for r in rows if r["browsers"] == n]
    return 100 * (part[-1]["ticks"] - part[0]["ticks"]) / hz / (part[-1]["second"] - part[0]["second"])
seen = [r for r in rows if r["browsers"] == 3]
third = len(seen) // 3
early, late = (sum(r["rss_kib"] for r in p) / len(p) / 1024 for p in (seen[third:2 * third], seen[2 * third:]))
with_page, without = core(3), core(0)
print(f"daemon with three browsers {with_page:.2f} % of a core, without {without:.2f} %: the page {with_page - without:.2f} %")
print(f"resident memory {early:.1f} MiB in the second third of {seen[-1]['second'] - seen[0]['second']} s, {late:.1f} MiB in the last")
sys.exit(with_page - without > 1 or late > 1.05 * early + 1)
PY
