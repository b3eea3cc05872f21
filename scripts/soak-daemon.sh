#!/usr/bin/env bash
# Soak of the daemon: the testbed under a random schedule of all three workloads, with faults on the way. Every 10 s a line goes to
# OUT/soak.csv: memory, descriptors, goroutines, reloads, changes, failed steps, NGINX's draining workers and memory. At the end a
# summary, and exit code 1 when the daemon ended by itself, memory or descriptors grew, or the configuration was damaged.
#   usage: scripts/soak-daemon.sh [duration in seconds=3600] [OUT=out/soak-daemon] [seed=1]
# Faults, in turn, one every 1/10 of the time: an operator edits a weight and reloads · an operator edits without reloading, and
# reloads a minute later · a faulty configuration of the daemon, SIGHUP, then the good one · kill -9 of the daemon and a
# restart · a damaged state file at a restart · the daemon stopped (SIGSTOP) for 30 s · NGINX's configuration unreadable for 20 s ·
# the hold file for 30 s · SIGTERM and a restart. The scenario's own faults of servers play beside them.
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:-3600} out=${2:-out/soak-daemon} seed=${3:-1}
for tool in nginx python3 curl; do
  command -v "$tool" >/dev/null || { echo "soak-daemon: skipped: $tool is not installed"; exit 0; }
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
rm -rf "$out"/*
go build -o "$out/trimtab" ./cmd/trimtab
trimtab=$out/trimtab
port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
listen=127.0.0.1:$(port) front=127.0.0.1:$(port)
bed= daemon= load=
cleanup() {
  for p in "$load" "$daemon" "$bed"; do [ -z "$p" ] || { kill -CONT "$p"; kill -TERM "$p"; } 2>/dev/null || true; done
  for p in "$load" "$daemon" "$bed"; do [ -z "$p" ] || wait "$p" 2>/dev/null || true; done
}
trap cleanup EXIT
say() { echo "$(date -u +%H:%M:%S) $*" | tee -a "$out/events.log"; }

"$trimtab" testbed --scenario "${SCENARIO:-randomised}" --listen "$front" --out "$out/bed" --seed "$seed" --json >"$out/testbed.json" 2>"$out/testbed.log" &
bed=$!
for _ in $(seq 200); do [ -s "$out/testbed.json" ] && break; sleep 0.1; done
[ -s "$out/testbed.json" ] || { cat "$out/testbed.log" >&2; exit 1; }
field() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$out/testbed.json" "$1"; }
conf=$(field nginx_conf) pidfile=$(field pid_file) status=$(field status_url) master=$(field nginx_pid)
good() { # extra top line
  cat <<CONF
interval = "3s"
state_dir = "$out/state"
listen = "$listen"
observe_first = "${OBSERVE:-0s}"
log_format = "json"
$1
[status]
url = "$status"
[nginx]
config = "$conf"
pid_file = "$pidfile"
prefix = "$(dirname "$conf")"
[regimes]
observe = "5m"
[tuner]
eject = true
CONF
}
good "" >"$out/trimtab.toml"
run_daemon() {
  "$trimtab" tune --config "$out/trimtab.toml" 2>>"$out/daemon.log" &
  daemon=$!
  say "daemon started, process $daemon"
}
run_daemon
"$trimtab" load --target "http://$front" --schedule random --total "${duration}s" --random-rate "${RATES:-20:170}" --random-duration 30s:300s \
  --random-back-off 10s:60s --seed "$seed" --schedule-out "$out/schedule.toml" --report "$out/load.json" --ndjson "$out/load.ndjson" >"$out/load.out" 2>"$out/load.log" &
load=$!
say "load started, process $load, seed $seed, for $duration s"

echo "second,run,rss_bytes,fds,goroutines,steps,changes,reloads,failed_telemetry,failed_apply,held,operator_edits,draining,generations,nginx_bytes" >"$out/soak.csv"
run=1
sample() {
  local page
  page=$(curl -s -m 5 "http://$listen/metrics") || return 0
  awk -v t="$1" -v run="$run" '
    $1 == "process_resident_memory_bytes" {rss=$2} $1 == "process_open_fds" {fds=$2} $1 == "go_goroutines" {gr=$2}
    $1 == "trimtab_steps_total" {steps=$2} $1 == "trimtab_changes_total" {ch=$2} $1 == "trimtab_reloads_total" {re=$2}
    $1 ~ /^trimtab_step_failures_total.*telemetry/ {ft=$2} $1 ~ /^trimtab_step_failures_total.*apply/ {fa=$2} $1 ~ /^trimtab_held_total/ {held+=$NF}
    $1 == "trimtab_operator_edits_total" {op=$2} $1 == "trimtab_nginx_draining_workers" {dr=$2} $1 == "trimtab_nginx_draining_generations" {ge=$2}
    $1 == "trimtab_nginx_memory_bytes" {nm=$2}
    END {printf "%d,%d,%.0f,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%.0f\n", t, run, rss, fds, gr, steps, ch, re, ft, fa, held, op, dr, ge, nm}' <<<"$page" >>"$out/soak.csv"
}
operator_edit() { python3 - "$conf" <<'PY'
import re, sys
text = open(sys.argv[1]).read()
m = re.search(r"(server\s+[0-9.:]+[^;]*?weight=)(\d+)", text) or re.search(r"(server\s+[0-9.]+:\d+)(\s*;)", text)
new = text[:m.start()] + (m.group(1) + str(int(m.group(2)) % 9 + 2) if m.group(2).isdigit() else m.group(1) + " weight=3" + m.group(2)) + text[m.end():]
open(sys.argv[1], "w").write(new)
PY
}
await_end() { local p=$1; for _ in $(seq 600); do kill -0 "$p" 2>/dev/null || return 0; sleep 0.1; done; say "FAULT: process $p does not end"; return 1; }
fault() {
  case $1 in
    1) say "operator edits a weight and reloads"; operator_edit; kill -HUP "$master" ;;
    2) say "operator edits a weight, reloads a minute later"; operator_edit; later_at=$(($2 + 60)); later="kill -HUP $master" ;;
    3) say "faulty configuration, SIGHUP, then the good one"; good 'nonsense = true' >"$out/trimtab.toml"; kill -HUP "$daemon"; sleep 5
       good "" >"$out/trimtab.toml"; kill -HUP "$daemon" ;;
    4) say "kill -9 of the daemon, restart"; kill -KILL "$daemon"; wait "$daemon" 2>/dev/null || true; run=$((run + 1)); run_daemon ;;
    5) say "SIGTERM, damaged state file, restart"; kill -TERM "$daemon"; await_end "$daemon"; wait "$daemon" || say "FAULT: code $? at SIGTERM"
       head -c 20000 /dev/urandom >"$out/state/worker/tuner.db"; run=$((run + 1)); run_daemon ;;
    6) say "SIGSTOP for 30 s"; kill -STOP "$daemon"; later_at=$(($2 + 30)); later="kill -CONT $daemon" ;;
    7) say "NGINX's configuration unreadable for 20 s"; cp -p "$conf" "$out/conf.kept"; echo "http { upstream broken {" >"$conf"; later_at=$(($2 + 20)); later="cp -p $out/conf.kept $conf" ;;
    8) say "hold file for 30 s"; "$trimtab" tune --config "$out/trimtab.toml" --hold >/dev/null; later_at=$(($2 + 30)); later="$trimtab tune --config $out/trimtab.toml --release" ;;
    9) say "SIGTERM, restart"; kill -TERM "$daemon"; await_end "$daemon"; wait "$daemon" || say "FAULT: code $? at SIGTERM"; run=$((run + 1)); run_daemon ;;
  esac
}
began=$SECONDS next=1 later="" later_at=0
while [ $((SECONDS - began)) -lt "$duration" ]; do
  sleep 10
  t=$((SECONDS - began))
  if ! kill -0 "$daemon" 2>/dev/null; then say "FAULT: the daemon ended by itself"; run=$((run + 1)); run_daemon; fi
  if [ -n "$later" ] && [ "$t" -ge "$later_at" ]; then $later >/dev/null; later=""; fi
  if [ "$next" -le 9 ] && [ -z "$later" ] && [ "$t" -ge $((next * duration / 10)) ]; then fault "$next" "$t"; next=$((next + 1)); fi
  sample "$t"
done
[ -z "$later" ] || $later >/dev/null
wait "$load" || say "load ended with code $?"
load=
nginx -t -q -p "$(dirname "$conf")" -c "$conf" 2>"$out/nginx-t.log" || say "FAULT: nginx -t refuses the configuration: $(head -1 "$out/nginx-t.log")"
"$trimtab" nginx show -c "$conf" >"$out/upstreams.txt"
"$trimtab" explain --config "$out/trimtab.toml" >"$out/explain.txt" 2>&1 || true

python3 - "$out" <<'PY'
import csv, json, sys
out = sys.argv[1]
rows = [{k: float(v or 0) for k, v in r.items()} for r in csv.DictReader(open(f"{out}/soak.csv"))]
total = lambda key: sum(max(r[key] for r in rows if r["run"] == n) for n in {r["run"] for r in rows})
MiB = 1 << 20
print(f"{rows[-1]['second']:.0f} s, {int(max(r['run'] for r in rows))} runs of the daemon, {total('steps'):.0f} steps")
bad = [line.strip() for line in open(f"{out}/events.log") if "FAULT" in line]
for n in sorted({r["run"] for r in rows}):
    own = [r for r in rows if r["run"] == n]
    half = own[len(own) // 3:]                     # after the warm-up
    line = f"run {n:.0f}: {own[-1]['second'] - own[0]['second']:5.0f} s"
    for key, unit in (("rss_bytes", MiB), ("fds", 1), ("goroutines", 1)):
        values = [r[key] / unit for r in half]
        line += f"; {key} {min(values):.0f} to {max(values):.0f}, last {values[-1]:.0f}"
    print(line)
    if len(half) >= 30:
        first, last = half[: len(half) // 3], half[-(len(half) // 3):]
        mean = lambda part, key: sum(r[key] for r in part) / len(part)
        for key, slack in (("rss_bytes", 16 * MiB), ("fds", 3), ("goroutines", 3)):
            if mean(last, key) > 1.3 * mean(first, key) + slack:
                bad.append(f"FAULT: {key} grew in run {n:.0f} from {mean(first, key):.0f} to {mean(last, key):.0f}")
minutes = rows[-1]["second"] / 60
print(f"changes {total('changes'):.0f}, reloads {total('reloads'):.0f} ({total('reloads') / minutes:.2f} per minute), operator's edits seen {total('operator_edits'):.0f}, "
      f"failed steps: telemetry {total('failed_telemetry'):.0f}, apply {total('failed_apply'):.0f}; held steps {total('held'):.0f}")
print(f"NGINX: at most {max(r['draining'] for r in rows):.0f} draining workers, {max(r['nginx_bytes'] for r in rows) / MiB:.0f} MiB")
try:
    r = json.load(open(f"{out}/load.json"))
    lat = r["latency_ms"]
    print(f"load: {r['requests']} requests, {r['errors']} errors {r['errors_by_kind']}, codes {r['status_codes']}, p50 {lat['p50']:.1f} p99 {lat['p99']:.0f} ms")
except OSError as e:
    bad.append(f"FAULT: no report of the load: {e}")
for b in bad: print(b)
sys.exit(1 if bad else 0)
PY
