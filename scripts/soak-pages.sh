#!/usr/bin/env bash
# The daemon at 200 ms beside a real NGINX under load, with a status page that flaps between NGINX's own and every page in the
# folder of cases (page*.json and the series), cut-off, empty, slow and huge ones among them. Every 10 s a line goes to OUT/soak.csv: memory,
# descriptors, steps, changes, failures. Exit code 1 when the daemon ended or grew.
#   usage: scripts/soak-pages.sh [seconds=3600] [OUT=out/soak-pages] [CASES=../shared/cases]
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:-3600} out=${2:-out/soak-pages} cases=${3:-../shared/cases}
for tool in nginx python3 curl; do command -v "$tool" >/dev/null || { echo "soak-pages: skipped: $tool is not installed"; exit 0; }; done
mkdir -p "$out"
out=$(cd "$out" && pwd)
rm -rf "${out:?}"/*
go build -o "$out/trimtab" ./cmd/trimtab
trimtab=$out/trimtab
port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
listen=127.0.0.1:$(port) front=127.0.0.1:$(port)
pids=()
cleanup() {
  for p in "${pids[@]}"; do kill -TERM "$p" 2>/dev/null || true; done
  sleep 3
  for p in "${pids[@]}"; do kill -KILL "$p" 2>/dev/null || true; done
}
trap cleanup EXIT
"$trimtab" testbed --scenario capacity-1-2-4 --listen "$front" --out "$out/bed" --json >"$out/testbed.json" 2>"$out/testbed.log" & pids+=($!)
for _ in $(seq 200); do [ -s "$out/testbed.json" ] && break; sleep 0.1; done
field() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$out/testbed.json" "$1"; }
conf=$(field nginx_conf) pidfile=$(field pid_file)
python3 - "$(field status_url)" "$cases" "$out/port" <<'PY' & pids+=($!)
import glob, http.server, json, sys, time, urllib.request
real, cases, where = sys.argv[1:]
pages = [open(p, "rb").read() for p in sorted(glob.glob(cases + "/*/page*.json"))]
for p in sorted(glob.glob(cases + "/*/series.ndjson")):
    pages += open(p, "rb").read().split(b"\n")[:3]
row = lambda i: {"server": "192.0.2.%d:%d" % (i % 250, i), "requestCounter": i, "inBytes": 1, "outBytes": 1, "responses": dict.fromkeys(("1xx", "2xx", "3xx", "4xx", "5xx"), 0),
                 "requestMsecCounter": 1, "responseMsecCounter": 1, "weight": i % 2}
pages.append(json.dumps({"loadMsec": 1, "nowMsec": 1700000000000, "connections": {}, "upstreamZones": {"::nogroups": [row(i) for i in range(5000)], "x" * 100000: [], "web\udcff": [row(1)]}}).encode())
pages += [b"", b"<html>", b"{}", b"slow"]
began, turn = time.time(), [0]
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_GET(self):
        if int(time.time() - began) % 10 < 6: # NGINX's own for 6 of 10 s
            body = urllib.request.urlopen(real, timeout=5).read()
        else:
            turn[0] += 1
            body = pages[turn[0] % len(pages)]
            if body == b"slow": time.sleep(3)
            elif turn[0] % 7 == 0: body = body[:len(body) // 2]
        try:
            self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
        except OSError: pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
open(where, "w").write(str(s.server_address[1]))
s.serve_forever()
PY
for _ in $(seq 100); do [ -s "$out/port" ] && break; sleep 0.1; done
cat >"$out/trimtab.toml" <<CONF
interval = "200ms"
state_dir = "$out/state"
listen = "$listen"
observe_first = "0s"
[status]
url = "http://127.0.0.1:$(cat "$out/port")/status/format/json"
poll = "100ms"
timeout = "1s"
stale_after = "2s"
proxied = true
[nginx]
config = "$conf"
pid_file = "$pidfile"
prefix = "$(dirname "$conf")"
CONF
"$trimtab" load --target "http://$front" --rate 60 --duration "${duration}s" --report "$out/load.json" >/dev/null 2>&1 & pids+=($!)
"$trimtab" tune --config "$out/trimtab.toml" 2>"$out/daemon.log" & daemon=$!
pids+=("$daemon")
echo "second,rss_bytes,fds,helper_rss_bytes,helper_fds,goroutines,steps,changes,failed_telemetry,failed_apply,rejected" >"$out/soak.csv"
for ((t = 0; t < duration; t += 10)); do
  sleep 10
  kill -0 "$daemon" 2>/dev/null || { echo "the daemon ended after $t s"; tail -n 20 "$out/daemon.log"; exit 1; }
  curl -s -m 5 "http://$listen/metrics" | awk -v t="$t" -v hr="$(awk '/^VmRSS/ {print $2 * 1024}' /proc/$daemon/status)" -v hf="$(ls /proc/$daemon/fd | wc -l)" '
    $1 == "process_resident_memory_bytes" {rss=$2} $1 == "process_open_fds" {fds=$2} $1 == "go_goroutines" {gr=$2} $1 == "trimtab_steps_total" {st=$2}
    $1 == "trimtab_changes_total" {ch=$2} $1 ~ /^trimtab_step_failures_total.*telemetry/ {ft=$2} $1 ~ /^trimtab_step_failures_total.*apply/ {fa=$2}
    $1 ~ /^trimtab_telemetry_rejected_total/ {re+=$NF} END {printf "%d,%.0f,%d,%.0f,%d,%d,%d,%d,%d,%d,%d\n", t, rss, fds, hr, hf, gr, st, ch, ft, fa, re}' >>"$out/soak.csv"
done
curl -s -m 5 "http://$listen/metrics" | grep -E '^trimtab_(held_total|telemetry_rejected_total|steps_total|changes_total|step_failures_total)' || true
awk -F, 'NR > 1 {n++; r[n]=$2; f[n]=$3; hr[n]=$4; hf[n]=$5} END {q=int(n/4); for (i=q+1; i<=2*q; i++) {a+=r[i]; c+=f[i]; ha+=hr[i]; hc+=hf[i]} for (i=n-q+1; i<=n; i++) {b+=r[i]; d+=f[i]; hb+=hr[i]; hd+=hf[i]}
  if (q) printf "helper: memory %.1f MB in the second quarter, %.1f in the last; descriptors %.1f, %.1f\n", ha/q/1e6, hb/q/1e6, hc/q, hd/q
  if (q) {printf "worker: memory %.1f MB in the second quarter, %.1f in the last; descriptors %.1f, %.1f\n", a/q/1e6, b/q/1e6, c/q, d/q; exit (b > 1.3*a || d > c+5*q || hb > 1.3*ha || hd > hc+5*q)}}' "$out/soak.csv"
echo "the daemon still runs after $duration s"
