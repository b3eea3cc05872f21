#!/usr/bin/env bash
# What another user of the machine can do to a running daemon: every attack of docs/lab/attacks.md that needs a second user is played
# as nobody against `trimtab tune`, which runs as root beside a real NGINX. Prints a line per attack; exit code 1 when one got
# through, 0 and "skipped" where the machine lacks something.
#   usage: sudo scripts/attack.sh
set -euo pipefail
cd "$(dirname "$0")/.."
skip() { echo "attack: skipped: $*"; exit 0; }
[ "$(id -u)" = 0 ] || skip "it takes root to run the daemon, and to become another user"
for tool in nginx python3 curl setpriv; do command -v "$tool" >/dev/null || skip "$tool is not installed"; done

out=$(mktemp -d /tmp/trimtab-attack-XXXXXX)
chmod 755 "$out"
pids=()
cleanup() {
  for p in "${pids[@]}"; do kill -TERM "$p" 2>/dev/null || true; done
  for _ in $(seq 50); do # NGINX of the testbed ends last
    local left=0
    for p in "${pids[@]}"; do ! kill -0 "$p" 2>/dev/null || left=1; done
    [ "$left" = 1 ] || break
    sleep 0.1
  done
  for p in "${pids[@]}"; do kill -KILL "$p" 2>/dev/null || true; done
  rm -rf "$out"
}
trap cleanup EXIT
make -s build BIN="$out/trimtab"
trimtab=$out/trimtab
python=/usr/bin/python3 # what another user can run
[ -x "$python" ] || skip "$python is not installed"
nobody_stays() { exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; } # in the background: its number is $!
nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
within() { # seconds command...
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ "$SECONDS" -lt "$end" ] || return 1; sleep 0.2; done
}
failed=0
check() { # what command...: the attack has failed when the command succeeds
  local what=$1; shift
  if "$@" >"$out/said" 2>&1; then echo "ok    $what"; else
    echo "FAIL  $what"; sed 's/^/      /' "$out/said" | tail -n 5; failed=$((failed + 1))
  fi
}
not() { ! "$@"; }
says() { # words command...: the command fails and says the words
  local words=$1; shift
  if "$@" >"$out/words" 2>&1; then echo "it succeeded: $*"; cat "$out/words"; return 1; fi
  grep -qF -- "$words" "$out/words" || { cat "$out/words"; return 1; }
}

# e_type 3: a shared object, which the kernel puts anywhere.
check "the program is position-independent" "$python" -c 'import sys; sys.exit(open(sys.argv[1], "rb").read(18)[16] != 3)' "$trimtab"
if [ -d .git ]; then check "and says what it was built from" grep -q vcs.revision <(go version -m "$trimtab"); fi

"$trimtab" testbed --scenario capacity-1-2-4 --listen "127.0.0.1:$(port)" --out "$out/bed" --json >"$out/testbed.json" 2>"$out/testbed.log" &
pids+=($!)
within 30 test -s "$out/testbed.json" || { cat "$out/testbed.log"; exit 1; }
field() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$out/testbed.json" "$1"; }
conf=$(field nginx_conf) pidfile=$(field pid_file) status=$(field status_url)
state=$out/state socket=$out/run/t.sock tcp=127.0.0.1:$(port)
mkdir -m 700 "$state"
mkdir -m 755 "$out/run"
configure() { # listen
  (umask 077; cat >"$out/trimtab.toml" <<CONF
interval = "200ms"
state_dir = "$state"
listen = "$1"
observe_first = "1h"
[status]
url = "${status/http:\/\//http://me:s3cret@}?token=s3cret"
poll = "100ms"
[nginx]
config = "$conf"
pid_file = "$pidfile"
prefix = "$(dirname "$conf")"
CONF
  )
}
start() { "$trimtab" tune --config "$out/trimtab.toml" 2>>"$out/daemon.log" & daemon=$!; pids+=("$daemon"); }
worker() { cat /proc/"$daemon"/task/*/children | tr ' ' '\n' | while read -r p; do [ -z "$p" ] || ! grep -qz '^tune$' "/proc/$p/cmdline" || echo "$p"; done; } # who reads the network
field_of() { awk -v f="$2:" '$1 == f {print $2}' "/proc/$1/status"; }
stop() { kill -TERM "$daemon"; wait "$daemon" || true; }
ask() { curl -sf -m 8 --unix-socket "$socket" "http://localhost/$1"; }
set_weight() { "$trimtab" nginx set -c "$conf" --pid-file "$pidfile" --prefix "$(dirname "$conf")" --state-dir "$state/nginx" "$@"; }
upstream=$("$trimtab" nginx show -c "$conf" --json | python3 -c 'import json,sys; print(json.loads(sys.stdin.read().splitlines()[0])["upstream"])')
server=$("$trimtab" nginx show -c "$conf" --json | python3 -c 'import json,sys; print(json.loads(sys.stdin.read().splitlines()[0])["servers"][0]["server"])')

# A port that somebody has taken.
configure "$tcp"
nobody_stays "$python" -c 'import socket,sys,time; s=socket.socket(); h,p=sys.argv[1].split(":"); s.bind((h,int(p))); s.listen(); time.sleep(600)' "$tcp" & squatter=$!
pids+=("$squatter")
sleep 0.5
start
check "a port that another user has taken does not end the daemon" within 10 grep -q 'not listening' "$out/daemon.log"
kill "$squatter" 2>/dev/null || true
check "and is used once it is free" within 20 curl -sf -m 5 "http://$tcp/healthz"

# Clients over TCP.
check "a foreign host name (DNS rebinding) is refused" not curl -sf -m 5 -H 'Host: evil.test' "http://$tcp/explain"
check "a page of another origin is refused" not curl -sf -m 5 -H 'Origin: https://evil.test' "http://$tcp/explain"
nobody_stays "$python" - "$tcp" <<'PY' & crowd=$!
import socket, sys, time
h, p = sys.argv[1].split(":")
held = []
for _ in range(300):
    try:
        s = socket.create_connection((h, int(p)), 1)
        s.send(b"GET / HTTP/1.1\r\n")
        held.append(s)
    except OSError:
        pass
time.sleep(600)
PY
pids+=("$crowd")
sleep 1
check "300 silent connections leave the daemon running" kill -0 "$daemon"
check "and are cut off: it answers others within seconds" within 20 curl -sf -m 3 "http://$tcp/healthz"
check "with a bounded number of descriptors" sh -c "[ \$(ls /proc/$(worker)/fd | wc -l) -lt 150 ]"
kill "$crowd" 2>/dev/null || true
stop

# The socket, the signals, the files.
configure "unix:$socket"
start
within 20 ask healthz
within 20 ask readyz || true
check "another user cannot ask over the socket" not nobody curl -sf -m 5 --unix-socket "$socket" http://localhost/explain
check "nor take its place" not nobody rm -f "$socket"
check "another user cannot signal the daemon" not nobody kill -USR1 "$daemon"
check "nor read what it learned" not nobody ls "$state"
check "nor its configuration" not nobody cat "$out/trimtab.toml"
check "nor hold it by a file" not nobody touch "$state/hold"
check "nor read its memory or its files" not nobody ls "/proc/$daemon/fd/"
check "no secret of the status address is in the log" not grep -q s3cret "$out/daemon.log"
check "nor in what the daemon says of itself" sh -c "! curl -s -m 5 --unix-socket $socket http://localhost/readyz http://localhost/explain | grep -q s3cret"
check "a second daemon for the same configuration is refused" says "another trimtab tune" "$trimtab" tune --config <(sed "s|$state|$out/state2|; s|$socket|$out/run/u.sock|" "$out/trimtab.toml")

# A worker that was taken over: what its user can do, and what the kernel lets the process itself do.
w=$(worker)
uid=$(field_of "$w" Uid)
as_worker() { setpriv --reuid="$uid" --regid="$uid" --clear-groups "$@"; }
check "the process that reads the network is not root" [ "$uid" -ne 0 ]
check "nor in any group but its own" [ "$(field_of "$w" Groups)" = "$uid" ]
check "it has no capability" [ "$(field_of "$w" CapEff)$(field_of "$w" CapPrm)$(field_of "$w" CapAmb)" = "$(printf '0%.0s' $(seq 48))" ]
check "it gains none by starting a program" [ "$(field_of "$w" NoNewPrivs)" = 1 ]
check "its system calls are filtered" [ "$(field_of "$w" Seccomp)" = 2 ]
chmod 600 "$conf"
check "its user cannot read the configuration of NGINX" not as_worker cat "$conf"
check "nor write it" not as_worker sh -c "echo >>'$conf'"
chmod 644 "$conf"
check "nor read the daemon's own, with its secrets" not as_worker cat "$out/trimtab.toml"
check "nor what a change can be undone by" not as_worker ls "$state/nginx"
check "nor signal who is root" not as_worker kill -TERM "$daemon"
check "nor NGINX" not as_worker kill -TERM "$(cat "$pidfile")"
check "nor look into the worker, were it another program of that user" not as_worker ls "/proc/$w/fd/"
check "nor trace it" not as_worker cat "/proc/$w/mem"
check "another user cannot signal the worker" not nobody kill -KILL "$w"
check "nor reach what it keeps" not nobody ls "$state/worker"

# Locks.
nobody_stays "$python" -c 'import fcntl,os,sys,time; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); time.sleep(600)' "$(dirname "$conf")" & locker=$!
pids+=("$locker")
sleep 0.5
check "a lock that another user holds on the folder does not hold up a change" set_weight --upstream "$upstream" --weight "$server=7"
kill "$locker" 2>/dev/null || true

# A status page that another user serves.
nobody_stays "$python" - "$status" >"$out/fake" 2>/dev/null <<'PY' & fake=$!
import http.server, sys, urllib.request
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_GET(self):
        body = urllib.request.urlopen(sys.argv[1]).read()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
print(s.server_address[1], flush=True)
s.serve_forever()
PY
pids+=("$fake")
within 10 test -s "$out/fake"
check "a status page of another program is not believed" says "is not that of the NGINX that would be changed" \
  set_weight --upstream "$upstream" --weight "$server=5" --status "http://127.0.0.1:$(cat "$out/fake")/status/format/json"
check "that of NGINX is" set_weight --upstream "$upstream" --weight "$server=5" --status "$status"

# Links.
mkdir -m 1777 "$out/shared"
echo precious >"$out/victim"
nobody ln -s "$out/victim" "$out/shared/report.json"
check "an output does not follow another user's link" says "symbolic link" "$trimtab" load --target http://127.0.0.1:1 --rate 1 --duration 100ms --report "$out/shared/report.json"
check "and what it leads to is whole" grep -qx precious "$out/victim"
nobody ln -s "$conf" "$out/shared/nginx.conf"
check "nor is a configuration reached through one" says "belongs to user" \
  "$trimtab" nginx set -c "$out/shared/nginx.conf" --pid-file "$pidfile" --prefix "$(dirname "$conf")" --state-dir "$out/state3" --upstream "$upstream" --weight "$server=3"

# What an operator left open is refused with the command that mends it.
chmod 777 "$state"
check "a state folder that everyone may write to" says "chmod o-w" set_weight --upstream "$upstream" --weight "$server=3"
chmod 700 "$state"
chmod 666 "$conf"
check "a configuration that everyone may write" says "chmod o-w" set_weight --upstream "$upstream" --weight "$server=3"
chmod 644 "$conf"

check "after all this the daemon runs" kill -0 "$daemon"
check "and answers" ask healthz
check "and the configuration is valid" nginx -t -q -p "$(dirname "$conf")" -c "$conf"
echo "attacks that got through: $failed"
[ "$failed" = 0 ]
