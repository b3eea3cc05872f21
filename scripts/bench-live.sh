#!/usr/bin/env bash
# Peak request rate of the live balancer against NGINX's own, as ratios within one interleaved run. The proxies differ
# in nothing but the lines that `trimtab nginx live install` asks for; a second NGINX answers behind them. Besides the rate it
# prints the proxy's own processor time per request, which does not depend on who else uses the machine.
#   usage: scripts/bench-live.sh [rounds=7] [seconds=2] [connections=64]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-7} seconds=${2:-2} connections=${3:-64}
for tool in nginx wrk; do
  command -v "$tool" >/dev/null || { echo "bench-live: skipped: $tool is not installed"; exit 0; }
done
modules=/usr/lib/nginx/modules
[ -e "$modules/ngx_http_lua_module.so" ] || { echo "bench-live: skipped: NGINX's Lua module is not installed"; exit 0; }

dir=$(mktemp -d)
pids=()
cleanup() {
  for p in "${pids[@]}"; do kill -QUIT "$p" 2>/dev/null || true; done
  for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap cleanup EXIT
go build -o "$dir/trimtab" ./cmd/trimtab

port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
b1=$(port) b2=$(port) b3=$(port)
common() { # name
  mkdir -p "$dir/$1/logs" "$dir/$1/tmp"
  [ "$(id -u)" -ne 0 ] || echo "user root;"
  echo "worker_processes 1; pid $dir/$1/nginx.pid; error_log $dir/$1/logs/error.log warn;"
  echo "events { worker_connections 4096; }"
}
paths() { for d in client_body proxy fastcgi uwsgi scgi; do echo "${d}_temp_path $dir/$1/tmp/$d;"; done; }
start() { # name
  nginx -p "$dir/$1" -c "$dir/$1/nginx.conf" -g 'daemon off;' 2>/dev/null &
  pids+=($!)
  for _ in $(seq 200); do [ -s "$dir/$1/nginx.pid" ] && return; sleep 0.05; done
  echo "bench-live: NGINX '$1' did not start" >&2; exit 1
}
common backend >"$dir/backend.conf"
echo "http { access_log off; $(paths backend) keepalive_requests 1000000000; server { listen 127.0.0.1:$b1; listen 127.0.0.1:$b2; listen 127.0.0.1:$b3; location / { return 200 ok; } } }" >>"$dir/backend.conf"
mv "$dir/backend.conf" "$dir/backend/nginx.conf"
start backend

declare -A url
front() { # name kind(native|live) method
  local name=$1 kind=$2 method=$3 listen control http="" upstream=""
  listen=$(port) control=$(port)
  mkdir -p "$dir/$name"
  write() {
    {
      [ "$kind" = native ] || echo "load_module $modules/ndk_http_module.so; load_module $modules/ngx_http_lua_module.so;"
      common "$name"
      echo "http { access_log off; $(paths "$name") keepalive_requests 1000000000; $http"
      echo "upstream app { $method server 127.0.0.1:$b1 weight=1; server 127.0.0.1:$b2 weight=2; server 127.0.0.1:$b3 weight=4; $upstream keepalive 128; keepalive_requests 1000000000; }"
      echo "server { listen 127.0.0.1:$listen; location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\"; } } }"
    } >"$dir/$name/nginx.conf"
  }
  write
  if [ "$kind" = live ]; then
    "$dir/trimtab" nginx live install -c "$dir/$name/nginx.conf" --listen "127.0.0.1:$control" >/dev/null
    chmod -R a+rX "$dir/$name/trimtab"
    http="include $dir/$name/trimtab/live.conf;" upstream="include $dir/$name/trimtab/live-app.upstream;"
    write
  fi
  start "$name"
  url[$name]="http://127.0.0.1:$listen/"
  if [ "$kind" = live ]; then
    "$dir/trimtab" nginx live set --address "127.0.0.1:$control" --token-file "$dir/$name/trimtab/token" --upstream app --weight "127.0.0.1:$b1=3" >/dev/null
  fi
}
front rr-native native ""
front rr-live live ""
front lc-native native "least_conn;"
front lc-live live "least_conn;"

ticks=$(getconf CLK_TCK)
cpu() { # total processor time of a proxy's workers, in ticks
  local master total=0 f
  master=$(cat "$dir/$1/nginx.pid")
  for w in $(cat "/proc/$master/task/$master/children"); do
    f=$(sed 's/.*) //' "/proc/$w/stat")
    total=$((total + $(echo "$f" | awk '{print $12 + $13}')))
  done
  echo "$total"
}
for name in rr-native rr-live lc-native lc-live; do wrk -t1 -c"$connections" -d1s "${url[$name]}" >/dev/null; done
for round in $(seq "$rounds"); do
  order="rr-native rr-live lc-native lc-live"
  [ $((round % 2)) -eq 1 ] || order="lc-live lc-native rr-live rr-native"
  for name in $order; do
    before=$(cpu "$name")
    out=$(wrk -t1 -c"$connections" -d"${seconds}s" "${url[$name]}")
    after=$(cpu "$name")
    if grep -q 'Non-2xx\|Socket errors' <<<"$out"; then echo "bench-live: $name: $(grep 'Non-2xx\|Socket errors' <<<"$out")" >&2; exit 1; fi
    awk -v name="$name" -v round="$round" -v d=$((after - before)) -v hz="$ticks" \
      '/Requests\/sec/ {rate=$2} /requests in/ {n=$1} END {printf "%s %d %.0f %.2f\n", name, round, rate, d / hz / n * 1e6}' <<<"$out" >>"$dir/rows"
  done
done
python3 - "$dir/rows" <<'PY'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    name, rnd, rate, cpu = line.split()
    rows.setdefault(name, {})[int(rnd)] = (float(rate), float(cpu))
for method in ("rr", "lc"):
    native, live = rows[method + "-native"], rows[method + "-live"]
    rate = [live[r][0] / native[r][0] for r in native]
    cpu = [live[r][1] / native[r][1] for r in native]
    med = statistics.median
    print(f"{'round robin' if method == 'rr' else 'least_conn'}: live/native peak rate {med(rate):.3f} (rounds {min(rate):.3f} to {max(rate):.3f}), "
          f"rates {med(v[0] for v in live.values()):.0f} and {med(v[0] for v in native.values()):.0f} per s; "
          f"proxy's processor time per request {med(v[1] for v in live.values()):.1f} and {med(v[1] for v in native.values()):.1f} us, ratio {med(cpu):.3f}")
PY
