#!/usr/bin/env bash
# Takes the pictures of the documentation: the live page during `trimtab run`, at three moments, and the report that it leaves at three
# widths, light and dark. Needs Chromium (scripts/setup-watch.sh) and two minutes; SCENARIO chooses another world.
#   scripts/pictures.sh [FOLDER] [SEED]
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-docs/img} seed=${2:-5}
work=$(mktemp -d)
run=
clean() { if [ -n "$run" ]; then kill "$run" 2>/dev/null || true; wait "$run" 2>/dev/null || true; fi; rm -rf "$work"; }
trap clean EXIT
mkdir -p "$out" "$work/shots"

# shot NAME URL WIDTH HEIGHT [dark]
shot() {
  local options=(--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update
    --disable-sync --hide-scrollbars --user-data-dir="$work/profile" --window-size="$3,$4" --virtual-time-budget=4000 --screenshot="$work/$1.png")
  if [ "${5:-}" = dark ]; then options+=(--blink-settings=preferredColorScheme=0); else options+=(--blink-settings=preferredColorScheme=1); fi
  chromium "${options[@]}" "$2" >/dev/null 2>&1
  mv "$work/$1.png" "$work/shots/$1.png"
}

# A run for which the machine was too busy shows the machine and not the tuner: it is repeated, up to TRIES=3 times.
for try in $(seq "${TRIES:-3}"); do
  bin/trimtab run --scenario "${SCENARIO:-capacity-1-2-4-40}" --duration 90s --seed "$seed" --open --out "$work/run" >"$work/stdout" 2>"$work/stderr" &
  run=$!
  for _ in $(seq 100); do grep -q '^live page: ' "$work/stderr" && break; read -rt 0.1 <> <(:) || true; done
  page=$(sed -n 's/^live page: //p' "$work/stderr")
  [ -n "$page" ] || { cat "$work/stderr" >&2; exit 1; }
  began=$SECONDS
  at() { while [ $((SECONDS - began)) -lt "$1" ]; do read -rt 0.5 <> <(:) || true; done; }
  at 27 && shot live-1 "$page" 1200 1250
  at 38 && shot live-2 "$page" 1200 1250
  at 84 && shot live-3 "$page" 1200 1250
  wait "$run"
  run=
  cat "$work/stdout"
  grep -q '^warning: requests were sent late' "$work/stdout" || break
  [ "$try" -lt "${TRIES:-3}" ] || { echo "pictures: the machine is too busy: nothing was written" >&2; exit 1; }
done
for width in 400 1200 2400; do
  for scheme in light dark; do
    case $width in 400) height=5300 ;; 1200) height=3500 ;; *) height=2900 ;; esac
    shot "report-$width-$scheme" "file://$work/run/report.html" "$width" "$height" "$scheme"
  done
done
mv "$work/shots/"*.png "$out/"
