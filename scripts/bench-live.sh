#!/usr/bin/env bash
# Cost of live weights, as ratios within one interleaved run. "native" is an NGINX without anything of Trimtab's, "zone" the same with
# a zone in its upstream, "live" with all the lines that `trimtab nginx live install` asks for and the Lua module that they need; its
# file says equal weights, and those of the others are set live. "admit" is live with admission in its location and nobody refused,
# "refuse" the same with a share in force, so small that nobody is.
# Requests are POSTs of 300 bytes over kept connections, access_log is off, and a second NGINX answers with a little JSON.
# Segments of a second take turns, in an order that turns round, and medians of their ratios are printed: of the peak rate, and
# of the proxy's own processor time per request. Where valgrind is installed, instructions per request follow (of user space; they
# do not depend on who else uses the machine).
#   usage: scripts/bench-live.sh [rounds=8] [seconds=1] [connections=64]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-8} seconds=${2:-1} connections=${3:-64}
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
  local name=$1
  shift
  "$@" nginx -p "$dir/$name" -c "$dir/$name/nginx.conf" -g "daemon off; ${single:-}" >/dev/null 2>&1 &
  pids+=($!)
  for _ in $(seq 1200); do [ -s "$dir/$name/nginx.pid" ] && return; sleep 0.05; done
  echo "bench-live: NGINX '$name' did not start" >&2; exit 1
}
common backend >"$dir/backend.conf"
echo "http { access_log off; $(paths backend) keepalive_requests 1000000000; server { listen 127.0.0.1:$b1; listen 127.0.0.1:$b2; listen 127.0.0.1:$b3; location / { default_type application/json; return 200 '{"post_id":"1735689600123456789","status":"ok","items":[1,2,3]}'; } } }" >>"$dir/backend.conf"
mv "$dir/backend.conf" "$dir/backend/nginx.conf"
start backend

declare -A url
front() { # name kind(native|zone|live|admit|refuse) method [command to run NGINX under]
  local name=$1 kind=$2 method=$3 listen control http="" upstream="" w2=2 w3=4 lua="" ask="" location=""
  shift 3
  listen=$(port) control=$(port)
  mkdir -p "$dir/$name"
  write() {
    {
      [ -z "$lua" ] || echo "load_module $modules/ndk_http_module.so; load_module $modules/ngx_http_lua_module.so;"
      common "$name"
      echo "http { access_log off; $(paths "$name") keepalive_requests 1000000000; $http"
      echo "upstream app { $method server 127.0.0.1:$b1 weight=1; server 127.0.0.1:$b2 weight=$w2; server 127.0.0.1:$b3 weight=$w3; $upstream keepalive 128; keepalive_requests 1000000000; }"
      echo "server { listen 127.0.0.1:$listen; location / { $location proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\"; } } }"
    } >"$dir/$name/nginx.conf"
  }
  [ "$kind" = native ] || upstream="zone app 64k;"
  case $kind in live | admit | refuse) lua=1 w2=1 w3=1 ;; esac
  case $kind in admit | refuse) ask="--admission app" ;; esac
  write
  if [ -n "$lua" ]; then
    "$dir/trimtab" nginx live install -c "$dir/$name/nginx.conf" --listen "127.0.0.1:$control" $ask >/dev/null
    chmod -R a+rX "$dir/$name/trimtab"
    chmod o= "$dir/$name/trimtab/token"
    http="include $dir/$name/trimtab/live.conf;"
    [ -z "$ask" ] || location="include $dir/$name/trimtab/admission-app.conf;"
    write
  fi
  start "$name" "$@"
  url[$name]="http://127.0.0.1:$listen/"
  if [ -n "$lua" ]; then
    "$dir/trimtab" nginx live set --address "127.0.0.1:$control" --token-file "$dir/$name/trimtab/token" --upstream app --weight "127.0.0.1:$b2=2" --weight "127.0.0.1:$b3=4" >/dev/null
  fi
  if [ "$kind" = refuse ]; then
    curl -fsS -X PUT -H "Authorization: Bearer $(cat "$dir/$name/trimtab/token")" --data-binary 'app 0.0000000001 3600 503 1' \
      "http://127.0.0.1:$control/trimtab/admission" >/dev/null
  fi
}
front rr-native native ""
front rr-zone zone ""
front rr-live live ""
front rr-admit admit ""
front rr-refuse refuse ""
front lc-native native "least_conn;"
front lc-zone zone "least_conn;"
front lc-live live "least_conn;"

cpu() { # processor time of a proxy's worker, ns
  local worker
  read -r worker <"/proc/$(cat "$dir/$1/nginx.pid")/task/$(cat "$dir/$1/nginx.pid")/children"
  cut -d' ' -f1 "/proc/$worker/schedstat"
}
python3 - >"$dir/post.lua" <<'PY'
body = "username=username_123&user_id=123&media_ids=[]&media_types=[]&post_type=0&text="
print(f"""wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.body = "{body}{'a' * (300 - len(body))}\"""")
PY
order="rr-native rr-zone rr-live rr-admit rr-refuse lc-native lc-zone lc-live"
for name in $order; do wrk -t1 -c"$connections" -d1s -s "$dir/post.lua" "${url[$name]}" >/dev/null; done
for round in $(seq "$rounds"); do
  order=$(tac -s' ' <<<"${order% } " | tr -d '\n')
  for name in $order; do
    before=$(cpu "$name")
    out=$(wrk -t1 -c"$connections" -d"${seconds}s" -s "$dir/post.lua" "${url[$name]}")
    after=$(cpu "$name")
    if grep -q 'Non-2xx\|Socket errors' <<<"$out"; then echo "bench-live: $name: $(grep 'Non-2xx\|Socket errors' <<<"$out")" >&2; exit 1; fi
    awk -v name="$name" -v round="$round" -v d=$((after - before)) \
      '/Requests\/sec/ {rate=$2} /requests in/ {n=$1} END {printf "%s %d %.0f %.2f\n", name, round, rate, d / n / 1e3}' <<<"$out" >>"$dir/rows"
  done
done
python3 - "$dir/rows" <<'PY'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    name, rnd, rate, cpu = line.split()
    rows.setdefault(name, {})[int(rnd)] = (float(rate), float(cpu))
med = statistics.median
for name in ("rr-zone", "rr-live", "rr-admit", "rr-refuse", "lc-zone", "lc-live"):
    native, live = rows[name[:3] + "native"], rows[name]
    rate = sorted(live[r][0] / native[r][0] for r in native)
    cpu = sorted(live[r][1] / native[r][1] for r in native)
    label = {"rr": "round robin", "lc": "least_conn"}[name[:2]] + ", " + name[3:]
    print(f"{label}: peak rate over native {med(rate):.3f} (rounds {rate[0]:.3f} to {rate[-1]:.3f}); "
          f"processor time per request over native {med(cpu):.3f} ({cpu[0]:.3f} to {cpu[-1]:.3f}), "
          f"{med(v[1] for v in live.values()):.1f} and {med(v[1] for v in native.values()):.1f} us")
PY

command -v valgrind >/dev/null && command -v callgrind_control >/dev/null || { echo "bench-live: instructions: skipped: valgrind is not installed"; exit 0; }
single="master_process off;"
for name in rr-native rr-zone rr-live rr-admit rr-refuse lc-native lc-zone lc-live; do
  method=""
  [ "${name%-*}" = rr ] || method="least_conn;"
  front "count-$name" "${name#*-}" "$method" valgrind --tool=callgrind --smc-check=all-non-file --callgrind-out-file="$dir/$name.callgrind"
  python3 - "${url[count-$name]}" "${pids[-1]}" "$dir/$name.callgrind.1" "$name" "$dir/post.lua" <<'PY'
import re, socket, subprocess, sys, time, urllib.parse, os
url, pid, dump, name, script = sys.argv[1:]
body = re.search(r'body = "(.*)"', open(script).read()).group(1).encode()
request = (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
           b"Content-Length: %d\r\n\r\n" % len(body)) + body
at = urllib.parse.urlparse(url)
clients = [socket.create_connection((at.hostname, at.port)) for _ in range(8)]
def send(n):
    for _ in range(n // len(clients)):
        for c in clients: c.sendall(request)
        for c in clients:
            got = b""
            while not got.endswith(b"]}"):
                more = c.recv(65536)
                if not more: sys.exit("bench-live: connection closed")
                got += more
            if not got.startswith(b"HTTP/1.1 200 "): sys.exit(f"bench-live: got {got!r}")
send(1600)
subprocess.run(["callgrind_control", "-z", pid], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
send(8000)
subprocess.run(["callgrind_control", "-d", pid], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
for _ in range(200):
    found = re.search(r"^(?:totals|summary): (\d+)", open(dump, errors="replace").read(), re.M) if os.path.exists(dump) else None
    if found: break
    time.sleep(0.05)
print(f"{name}: {int(found.group(1)) / 8000:.0f} instructions of user space per request")
PY
done
