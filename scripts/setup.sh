#!/usr/bin/env bash
# Makes sure that NGINX and its Lua module are on this machine: what `make run` and `make test` need beside Go.
# Idempotent. It never starts, enables or reconfigures the system's NGINX service and does not touch /etc/nginx
# beyond what Debian's packages put there themselves.
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

nginx_binary() {
  command -v nginx 2>/dev/null || { [ -x /usr/sbin/nginx ] && echo /usr/sbin/nginx; }
}

lua_module() {
  local d
  for d in "${TRIMTAB_NGINX_MODULES:-}" /usr/lib/nginx/modules /usr/lib64/nginx/modules /usr/share/nginx/modules; do
    if [ -n "$d" ] && [ -e "$d/ngx_http_lua_module.so" ]; then echo "$d"; return; fi
  done
  return 1
}

complete() { [ -n "$(nginx_binary)" ] && lua_module >/dev/null; }

command -v go >/dev/null 2>&1 || die "Go is missing: install Go 1.26 or newer (https://go.dev/dl) and put it on PATH"

if complete; then exit 0; fi

if ! command -v apt-get >/dev/null 2>&1; then
  die "NGINX with its Lua module is missing, and this is not Debian or Ubuntu: install nginx (1.22 or newer) and the
setup: dynamic modules ndk_http_module.so and ngx_http_lua_module.so with lua-resty-core
setup: (Fedora: nginx nginx-mod-http-lua; Alpine: nginx nginx-mod-http-lua; FreeBSD: nginx-full), then run this again"
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null 2>&1 || die "installing nginx needs root: run 'apt-get install nginx libnginx-mod-http-lua' as root, then run this again"
  as_root=(sudo)
fi

# A policy-rc.d that answers 101 keeps Debian's maintainer scripts from starting the service on install.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  made_policy=1
fi
was_enabled=$(systemctl is-enabled nginx 2>/dev/null || true)
restore() { if [ -n "$made_policy" ]; then "${as_root[@]}" rm -f "$policy"; fi; }
trap restore EXIT

say "installing nginx and libnginx-mod-http-lua with apt-get (the nginx service is neither started nor enabled)"
install() {
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y --no-install-recommends nginx libnginx-mod-http-lua >/tmp/trimtab-setup.$$.log 2>&1
}
if ! install; then
  "${as_root[@]}" apt-get update >/dev/null 2>&1 || true
  if ! install; then
    tail -n 5 "/tmp/trimtab-setup.$$.log" >&2
    rm -f "/tmp/trimtab-setup.$$.log"
    die "apt-get could not install nginx and libnginx-mod-http-lua: see the lines above"
  fi
fi
rm -f "/tmp/trimtab-setup.$$.log"
if [ "$was_enabled" != enabled ] && command -v systemctl >/dev/null 2>&1; then
  "${as_root[@]}" systemctl disable nginx >/dev/null 2>&1 || true
fi
complete || die "the packages are installed, but nginx or ngx_http_lua_module.so is not where it is looked for"
say "installed $("$(nginx_binary)" -v 2>&1) with the Lua module in $(lua_module)"
