#!/usr/bin/env bash
# What the status shim costs: the peak request rate of one NGINX worker that proxies to a static NGINX, with the shim and
# without it, in alternating slices of one run. Usage: scripts/bench-shim.sh [slices=12] [seconds per slice=2]
set -euo pipefail
cd "$(dirname "$0")/.."
slices=${1:-12} seconds=${2:-2}
for tool in wrk nginx; do
	command -v "$tool" >/dev/null || { echo "bench-shim: skipped: $tool is not installed"; exit 0; }
done
modules=/usr/lib/nginx/modules
[ -e $modules/ngx_http_lua_module.so ] || { echo "bench-shim: skipped: NGINX's Lua module is not installed"; exit 0; }

dir=$(mktemp -d)
stop() {
	for name in back plain shim; do
		[ -s "$dir/$name/nginx.pid" ] && kill -QUIT "$(cat "$dir/$name/nginx.pid")" 2>/dev/null || true
	done
	sleep 0.3
	rm -rf "$dir"
}
trap stop EXIT
go build -o "$dir/trimtab" ./cmd/trimtab
read -r back plain shim page < <(python3 -c '
import socket
s = [socket.socket() for _ in range(4)]
for x in s: x.bind(("127.0.0.1", 0))
print(*[x.getsockname()[1] for x in s])')
"$dir/trimtab" nginx shim install --dir "$dir/lua" --listen "127.0.0.1:$page" >/dev/null

start() { # name, http lines
	mkdir -p "$dir/$1"
	local load="" user=""
	[ "$1" = back ] || load="load_module $modules/ndk_http_module.so; load_module $modules/ngx_http_lua_module.so;"
	[ "$(id -u)" != 0 ] || user="user root;"
	cat >"$dir/$1/nginx.conf" <<-CONF
		$load $user
		worker_processes 1; pid nginx.pid; error_log error.log;
		events { worker_connections 1024; }
		http {
		    access_log off; keepalive_requests 1000000;
		    client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
		    $2
		}
	CONF
	nginx -p "$dir/$1" -c nginx.conf -e error.log
}
front() { # port
	echo "upstream app { server 127.0.0.1:$back weight=3; server 127.0.0.1:$back weight=1; keepalive 64; }
	server { listen 127.0.0.1:$1; location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ''; } }"
}
start back "server { listen 127.0.0.1:$back; location / { return 200 '$(printf 'x%.0s' {1..512})'; } }"
start plain "$(front "$plain")"
start shim "include $dir/lua/status.conf; $(front "$shim")"

worker() { cat /proc/"$(cat "$dir/$1/nginx.pid")"/task/*/children; }
ticks() { awk '{print $14 + $15}' "/proc/$(worker "$1" | tr -d ' ')/stat"; }
slice() { # name, port: prints requests and CPU ticks of the worker
	local before requests
	before=$(ticks "$1")
	requests=$(wrk -t1 -c32 -d"$3s" "http://127.0.0.1:$2/" | awk '/requests in/ {print $1}')
	echo "$requests $(($(ticks "$1") - before))"
}
slice plain "$plain" 1 >/dev/null
slice shim "$shim" 1 >/dev/null
for i in $(seq "$slices"); do
	if [ $((i % 2)) = 0 ]; then
		echo "plain $(slice plain "$plain" "$seconds")"; echo "shim $(slice shim "$shim" "$seconds")"
	else
		echo "shim $(slice shim "$shim" "$seconds")"; echo "plain $(slice plain "$plain" "$seconds")"
	fi
done >"$dir/slices"
python3 - "$dir/slices" "$seconds" <<'PY'
import statistics as st, sys
rows = [l.split() for l in open(sys.argv[1])]
seconds = float(sys.argv[2])
rate, cpu = {}, {}
for name, n, ticks in rows:
    rate.setdefault(name, []).append(int(n) / seconds)
    cpu.setdefault(name, []).append(int(ticks) * 1e4 / int(n))
for name in ("plain", "shim"):
    print(f"{name:5} median {st.median(rate[name]):8.0f} requests/s  {st.median(cpu[name]):6.2f} us of the worker's CPU per request  ({len(rate[name])} slices)")
pair = [b / a for a, b in zip(rate["plain"], rate["shim"])]
cost = [b / a for a, b in zip(cpu["plain"], cpu["shim"])]
print(f"shim/plain, median of pairs: rate {st.median(pair):.3f}  CPU per request {st.median(cost):.3f}")
PY
