#!/usr/bin/env bash
# Polls a real NGINX with the status shim ten times a second under a light load, with a reload every tenth of the time, and
# reports whether memory and descriptors of the collector and of NGINX stay flat.
# Usage: scripts/soak-poller.sh [seconds=3600] [poll interval=100ms]. One line per sample on stdout, the verdict last.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-3600} interval=${2:-100ms}
for tool in wrk nginx python3; do
	command -v "$tool" >/dev/null || { echo "soak-poller: skipped: $tool is not installed"; exit 0; }
done
modules=/usr/lib/nginx/modules
[ -e $modules/ngx_http_lua_module.so ] || { echo "soak-poller: skipped: NGINX's Lua module is not installed"; exit 0; }

dir=$(mktemp -d)
pids=()
stop() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	[ -s "$dir/nginx.pid" ] && kill -QUIT "$(cat "$dir/nginx.pid")" 2>/dev/null || true
	sleep 0.5
	rm -rf "$dir"
}
trap stop EXIT
go build -o "$dir/trimtab" ./cmd/trimtab
read -r front page b1 b2 b3 < <(python3 -c '
import socket
s = [socket.socket() for _ in range(5)]
for x in s: x.bind(("127.0.0.1", 0))
print(*[x.getsockname()[1] for x in s])')
"$dir/trimtab" nginx shim install --dir "$dir/lua" --listen "127.0.0.1:$page" >/dev/null
user=""; [ "$(id -u)" != 0 ] || user="user root;"
backend() { echo "server { listen 127.0.0.1:$1; location / { content_by_lua_block { ngx.sleep($2) ngx.say('ok') } } }"; }
group() { echo "upstream $1 { server 127.0.0.1:$b1 weight=1; server 127.0.0.1:$b2 weight=2; server 127.0.0.1:$b3 weight=4; keepalive 8; }"; }
cat >"$dir/nginx.conf" <<-CONF
	load_module $modules/ndk_http_module.so; load_module $modules/ngx_http_lua_module.so; $user
	worker_processes 2; pid nginx.pid; error_log error.log;
	events { worker_connections 256; }
	http {
	    access_log off;
	    client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
	    include $dir/lua/status.conf;
	    proxy_http_version 1.1; proxy_set_header Connection '';
	    $(group compose_backend) $(group home_backend) $(group user_backend)
	    $(backend "$b1" 0.04) $(backend "$b2" 0.02) $(backend "$b3" 0.01)
	    server {
	        listen 127.0.0.1:$front;
	        location /compose { proxy_pass http://compose_backend; }
	        location /home { proxy_pass http://home_backend; }
	        location /user { proxy_pass http://user_backend; }
	    }
	}
CONF
nginx -p "$dir" -c nginx.conf -e error.log
master=$(cat "$dir/nginx.pid")
for path in compose home user; do
	wrk -t1 -c1 -d"$((seconds + 5))s" "http://127.0.0.1:$front/$path" >"$dir/wrk.$path" &
	pids+=($!)
done
"$dir/trimtab" collect --status "http://127.0.0.1:$page/status/format/json" --out "$dir/s.ndjson.zst" --interval "$interval" \
	--duration "${seconds}s" --json >"$dir/summary" &
collector=$!
pids+=("$collector")
verdict=0
python3 - "$collector" "$master" "$seconds" <<'PY' || verdict=$?
import os, signal, statistics as st, sys, time
pid, master, seconds = map(int, sys.argv[1:])
def one(p):
    rss = int(next(l for l in open(f"/proc/{p}/status") if l.startswith("VmRSS")).split()[1])
    f = open(f"/proc/{p}/stat").read().rsplit(") ", 1)[1].split()
    return rss, len(os.listdir(f"/proc/{p}/fd")), int(f[11]) + int(f[12])
def workers():
    ids = open(f"/proc/{master}/task/{master}/children").read().split()
    return [one(int(i)) for i in ids]
began = time.time(); every = max(1.0, seconds / 120); rows = []; reload_at = seconds / 10
t = every
while t < seconds - 1:
    time.sleep(max(0, began + t - time.time()))
    try:
        c = one(pid); w = workers()
    except (FileNotFoundError, StopIteration, ProcessLookupError):
        t += every; continue
    rows.append((t, *c, max(x[0] for x in w), max(x[1] for x in w), len(w)))
    print("t=%.0fs collector rss=%dKiB fds=%d cpu=%.2f%%  largest worker rss=%dKiB fds=%d  workers=%d" % (t, c[0], c[1], c[2] / t, rows[-1][4], rows[-1][5], len(w)), flush=True)
    if t >= reload_at:
        os.kill(master, signal.SIGHUP); reload_at += seconds / 10
    t += every
q = max(1, len(rows) // 4)
first, last = rows[q:2*q] or rows, rows[-q:]
ok = True
for i, name in ((1, "collector rss KiB"), (2, "collector fds"), (4, "worker rss KiB"), (5, "worker fds")):
    a, b = st.median(r[i] for r in first), st.median(r[i] for r in last)
    limit = a * 1.05 + (2048 if "rss" in name else 2)
    flat = b <= limit
    ok &= flat
    print(f"{name}: second quarter {a:.0f}, last quarter {b:.0f}: {'flat' if flat else 'GROWS'}")
print(f"collector cpu {rows[-1][3] / rows[-1][0]:.3f} % of a core")
sys.exit(0 if ok else 1)
PY
wait "$collector" || true
cat "$dir/summary"
exit "$verdict"
