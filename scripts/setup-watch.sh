#!/usr/bin/env bash
# Makes sure that Chromium, Prometheus with promtool and its node exporter, and numpy are on this machine: what the tests of the page,
# of the rules, of the dashboard, of host metrics and of the training example need. Without them these tests are skipped. Idempotent; it neither starts nor enables Debian's Prometheus service.
set -euo pipefail

say() { printf 'setup-watch: %s\n' "$*" >&2; }

missing=()
command -v chromium >/dev/null 2>&1 || missing+=(chromium fonts-dejavu-core)
{ command -v prometheus && command -v promtool; } >/dev/null 2>&1 || missing+=(prometheus)
command -v prometheus-node-exporter >/dev/null 2>&1 || missing+=(prometheus-node-exporter)
python3 -c 'import numpy' >/dev/null 2>&1 || missing+=(python3-numpy)
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  say "this is not Debian or Ubuntu: install ${missing[*]} yourself, or do without the tests that need them"
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null 2>&1 || { say "installing ${missing[*]} needs root"; exit 1; }
  as_root=(sudo)
fi

# A policy-rc.d that answers 101 keeps Debian's maintainer scripts from starting services on install.
policy=/usr/sbin/policy-rc.d
made_policy=
log=$(mktemp)
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  made_policy=1
fi
clean() { rm -f "$log"; if [ -n "$made_policy" ]; then "${as_root[@]}" rm -f "$policy"; fi; }
trap clean EXIT

say "installing ${missing[*]} with apt-get"
install() { DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; }
if ! install; then
  "${as_root[@]}" apt-get update >/dev/null 2>&1 || true
  if ! install; then
    tail -n 5 "$log" >&2
    say "apt-get could not install ${missing[*]}: see the lines above"
    exit 1
  fi
fi
if command -v systemctl >/dev/null 2>&1; then
  "${as_root[@]}" systemctl disable prometheus >/dev/null 2>&1 || true
fi
