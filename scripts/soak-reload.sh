#!/usr/bin/env bash
# Counts what changing weights costs: POSTs over kept connections while the weights change every 5 s, by editing and
# reloading, live, and (control) not at all. They take turns in segments of 30 s, so that all meet the same machine. Prints one row per actuator and, for each change that lost something, what was lost within the second after it.
#   usage: scripts/soak-reload.sh [seconds per actuator=600] [requests per second=1000] [seconds between changes=5] ["actuators"="none reload live"]
set -euo pipefail
cd "$(dirname "$0")/.."
total=${1:-600} rate=${2:-1000} every=${3:-5} actuators=${4:-none reload live}
for tool in nginx python3; do
  command -v "$tool" >/dev/null || { echo "soak-reload: skipped: $tool is not installed"; exit 0; }
done
modules=/usr/lib/nginx/modules
[ -e "$modules/ngx_http_lua_module.so" ] || { echo "soak-reload: skipped: NGINX's Lua module is not installed"; exit 0; }

dir=$(mktemp -d)
pids=()
cleanup() {
  for p in "${pids[@]}"; do kill -QUIT "$p" 2>/dev/null || true; done
  for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap cleanup EXIT
go build -o "$dir/trimtab" ./cmd/trimtab
trimtab=$dir/trimtab
head -c 300 /dev/zero | tr '\0' x >"$dir/body"

port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
b1=$(port) b2=$(port) b3=$(port)
common() { # name
  mkdir -p "$dir/$1/logs" "$dir/$1/tmp"
  [ "$(id -u)" -ne 0 ] || echo "user root;"
  echo "worker_processes 2; pid $dir/$1/nginx.pid; error_log $dir/$1/logs/error.log warn;"
  echo "events { worker_connections 4096; }"
}
paths() { for d in client_body proxy fastcgi uwsgi scgi; do echo "${d}_temp_path $dir/$1/tmp/$d;"; done; }
start() { # name
  nginx -p "$dir/$1" -c "$dir/$1/nginx.conf" -g 'daemon off;' 2>/dev/null &
  pids+=($!)
  for _ in $(seq 200); do [ -s "$dir/$1/nginx.pid" ] && return; sleep 0.05; done
  echo "soak-reload: NGINX '$1' did not start" >&2; exit 1
}
mkdir -p "$dir/backend"
{
  common backend
  echo "http { access_log off; $(paths backend) server { listen 127.0.0.1:$b1; listen 127.0.0.1:$b2; listen 127.0.0.1:$b3; location / { return 200 ok; } } }"
} >"$dir/backend/nginx.conf"
start backend

declare -A url control
proxy() { # name
  local name=$1 listen http="" upstream="" modules_lines=""
  listen=$(port) control[$name]=$(port)
  mkdir -p "$dir/$name"
  write() {
    {
      echo "$modules_lines"
      common "$name"
      echo "http { access_log off; $(paths "$name") $http"
      echo "upstream app { server 127.0.0.1:$b1 weight=1; server 127.0.0.1:$b2 weight=1; server 127.0.0.1:$b3 weight=1; $upstream keepalive 64; }"
      echo "server { listen 127.0.0.1:$listen; location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\"; } } }"
    } >"$dir/$name/nginx.conf"
  }
  write
  if [ "$name" = live ]; then
    "$trimtab" nginx live install -c "$dir/$name/nginx.conf" --listen "127.0.0.1:${control[$name]}" >/dev/null
    chmod -R a+rX "$dir/$name/trimtab"
    modules_lines="load_module $modules/ndk_http_module.so; load_module $modules/ngx_http_lua_module.so;"
    http="include $dir/$name/trimtab/live.conf;" upstream="zone app 64k;"
    write
  fi
  start "$name"
  url[$name]="http://127.0.0.1:$listen/"
}
for name in $actuators; do proxy "$name"; done

now_ms() { date +%s%3N; }
change() { # name turn
  local w=$((1 + $2 % 7)) began failed=""
  began=$(now_ms)
  case $1 in
    none) return ;;
    reload) "$trimtab" nginx set -c "$dir/reload/nginx.conf" --state-dir "$dir/state" --upstream app --weight "127.0.0.1:$b1=$w" --weight "127.0.0.1:$b2=3" >"$dir/out" 2>&1 || failed=1 ;;
    live) "$trimtab" nginx live set --address "127.0.0.1:${control[live]}" --token-file "$dir/live/trimtab/token" --upstream app --weight "127.0.0.1:$b1=$w" --weight "127.0.0.1:$b2=3" >"$dir/out" 2>&1 || failed=1 ;;
  esac
  if [ -n "$failed" ]; then echo "soak-reload: $1: change $2: $(cat "$dir/out")" >&2; echo "$1 failed $2" >>"$dir/failures"; fi
  echo "$began $(now_ms) $2" >>"$dir/$1.changes"
}

segment=30
[ "$total" -ge "$segment" ] || segment=$total
for turn in $(seq $(((total + segment - 1) / segment))); do
  for name in $actuators; do
    "$trimtab" load --target "${url[$name]}" --method POST --body "$dir/body" --rate "$rate" --arrival exp --duration "${segment}s" --seed "$turn" \
      --report "$dir/$name.$turn.json" --ndjson "$dir/$name.$turn.ndjson" >/dev/null 2>"$dir/load.err" &
    load=$!
    n=0
    for _ in $(seq $((segment / every - 1))); do
      sleep "$every"
      n=$((n + 1))
      change "$name" $((turn * 100 + n))
    done
    wait "$load" || { echo "soak-reload: load: $(cat "$dir/load.err")" >&2; exit 1; }
  done
done

python3 - "$dir" $actuators <<'PY'
import glob, json, os, sys
d = sys.argv[1]
print("| actuator | seconds | POSTs | changes | lost | lost per change | most in one second | kinds | p99 ms |")
print("|---|---|---|---|---|---|---|---|---|")
bad = False
for name in sys.argv[2:]:
    reqs = errs = secs = 0
    kinds, p99, per_second = {}, [], []
    for f in sorted(glob.glob(f"{d}/{name}.*.json")):
        r = json.load(open(f))
        reqs += r["requests"]; errs += r["errors"]; secs += r["planned_s"]
        for k, v in r["errors_by_kind"].items(): kinds[k] = kinds.get(k, 0) + v
        p99.append(r["latency_ms"]["p99"])
        for k, v in (r.get("error_samples") or {}).items(): print(f"# {name}: {k}: {v}", file=sys.stderr)
    for f in glob.glob(f"{d}/{name}.*.ndjson"):
        for line in open(f):
            row = json.loads(line)
            per_second.append(row["total"]["errors"])
    path = f"{d}/{name}.changes"
    changes = sum(1 for _ in open(path)) if os.path.exists(path) else 0
    kinds_text = ", ".join(f"{k} {v}" for k, v in sorted(kinds.items())) or "–"
    per = f"{errs / changes:.2f}" if changes else "–"
    p99.sort()
    print(f"| {name} | {secs:.0f} | {reqs} | {changes} | {errs} | {per} | {max(per_second, default=0)} | {kinds_text} | {p99[len(p99) // 2]:.1f} |")
    with_loss = sum(1 for e in per_second if e)
    if errs: print(f"# {name}: {with_loss} of {len(per_second)} seconds saw a loss", file=sys.stderr)
    bad = bad or (name == "live" and errs > 0)
if os.path.exists(f"{d}/failures"):
    print("# changes that failed: " + str(sum(1 for _ in open(f"{d}/failures"))), file=sys.stderr); bad = True
sys.exit(1 if bad else 0)
PY
