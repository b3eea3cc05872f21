#!/usr/bin/env bash
# From nothing to the first tuned weight, with a stopwatch: a fresh Debian root, its NGINX with two upstreams of two servers in front of
# emulated backends, load of which one server cannot take half, and then what an operator types: three commands, no file edited. Prints the
# seconds of each and ends with code 1
# when it took longer than LIMIT (300 s) or something was left behind after init --undo and purge. Needs root and debootstrap; ends with 0
# and the reason where a root cannot be made. MARKDOWN=docs/lab/tutorials.md writes the figures there.
#   usage: scripts/first-weight.sh [DEB]     SUITE=bookworm BASE=folder-of-a-root (kept for the next time) OBSERVE=20s
set -euo pipefail
cd "$(dirname "$0")/.."
skip() { echo "first-weight: skipped: $*"; exit 0; }
[ "$(id -u)" = 0 ] || skip "not root"
command -v debootstrap >/dev/null || skip "debootstrap is not installed"
suite=${SUITE:-bookworm} observe=${OBSERVE:-20s} limit=${LIMIT:-300}
deb=${1:-}
if [ -z "$deb" ]; then
  ARCHES=$(go env GOARCH) scripts/packages.sh >/dev/null || skip "the packages cannot be made here: see above"
  deb=$(ls dist/*_"$(go env GOARCH)".deb)
fi
mirror=${DEBIAN_MIRROR:-$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^ *#' | grep -oE 'https?://[^[:space:]]+/debian/?([[:space:]]|$)' | head -n 1 | sed 's|/*[[:space:]]*$||' || true)}
work=$(mktemp -d /var/tmp/trimtab-first-XXXXXX)
root=$work/root base=${BASE:-}
pids=()
in_it() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  [ ! -e "$root/run/nginx.pid" ] || kill "$(cat "$root/run/nginx.pid")" 2>/dev/null || true
  sleep 1
  umount -l "$root/proc" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

echo "first-weight: making a $suite root" >&2
if [ -z "$base" ] || [ ! -x "$base/usr/sbin/nginx" ]; then
  [ -n "$base" ] || base=$work/base
  debootstrap --variant=minbase --include=nginx,libnginx-mod-http-lua,adduser "$suite" "$base" "${mirror:-http://deb.debian.org/debian}" >"$work/debootstrap.log" 2>&1 ||
    { tail -n 3 "$work/debootstrap.log"; rm -rf "$base"; skip "debootstrap did not succeed"; }
fi
cp -a "$base" "$root"
mount -t proc proc "$root/proc"
# No service is started by packages in a root without an init.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"

# What is there before: backends of which one has four times the capacity, an NGINX of the operator's, traffic.
go build -o "$work/world" ./cmd/trimtab
"$work/world" testbed --scenario capacity-1-2-4 --listen "127.0.0.1:$((30000 + RANDOM % 2000))" --json --out "$work/bed" >"$work/bed.log" 2>&1 &
pids+=($!)
for _ in $(seq 300); do grep -q '"backends"' "$work/bed.log" && break; sleep 0.1; done
mapfile -t backends < <(grep -o '"backends":{[^}]*}' "$work/bed.log" | grep -oE '127\.0\.0\.1:[0-9]+')
[ "${#backends[@]}" = 3 ] || { cat "$work/bed.log"; exit 1; }
port=$((20000 + RANDOM % 10000))
cat >"$root/etc/nginx/sites-available/app" <<SITE
upstream app {
    server ${backends[0]};
    server ${backends[2]};
    keepalive 32;
}
upstream api {
    server ${backends[1]};
    server ${backends[2]};
    keepalive 32;
}
server {
    listen 127.0.0.1:$port;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location / { proxy_pass http://app; }
    location /wrk2-api/user-timeline/ { proxy_pass http://api; }
}
SITE
rm -f "$root/etc/nginx/sites-enabled/default"
ln -s ../sites-available/app "$root/etc/nginx/sites-enabled/app"
in_it sh -c 'nginx'
"$work/world" load "http://127.0.0.1:$port" --workload mixed --arrival exp --rate "${RATE:-320}" --duration 20m --seed 1 >"$work/load.log" 2>&1 &
pids+=($!)
cp "$deb" "$root/tmp/trimtab.deb"
before=$(cd "$root" && find etc -type f -path 'etc/nginx/*' -exec sha256sum {} + | sort)

echo "first-weight: the stopwatch starts" >&2
began=$(date +%s.%N)
since() { awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }'; }
say() { printf '%6s s  %s\n' "$(since)" "$*" | tee -a "$work/said"; }
in_it dpkg -i /tmp/trimtab.deb >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log"; exit 1; }
say "1  dpkg -i trimtab.deb"
in_it trimtab init --yes --observe "$observe" >"$work/init.log" 2>&1 || { cat "$work/init.log"; exit 1; }
say "2  trimtab init --yes --observe $observe"
in_it trimtab tune >"$work/tune.log" 2>&1 &
shell=$!
for _ in $(seq 100); do tune=$(pgrep -P "$shell" || true); [ -z "$tune" ] || break; sleep 0.05; done
[ -n "$tune" ] || { cat "$work/tune.log"; exit 1; }
pids+=("$tune")
say "3  trimtab tune"
first=''
while awk -v t="$(since)" -v l="$limit" 'BEGIN { exit !(t < l) }'; do
  if grep -q 'msg="weights changed"' "$work/tune.log"; then first=$(since); break; fi
  kill -0 "$tune" 2>/dev/null || { cat "$work/tune.log"; exit 1; }
  sleep 0.2
done
sed 's/^/      /' "$work/init.log"
grep -E 'weights changed|started' "$work/tune.log" | sed 's/^/      /'
[ -n "$first" ] || { tail -n 20 "$work/tune.log"; echo "first-weight: no weight was changed within $limit s"; exit 1; }
printf '%6s s  the first tuned weight: 3 commands, 0 files edited (limit %s s)\n' "$first" "$limit" | tee -a "$work/said"
grep -h 'weight=' "$root/etc/nginx/sites-available/app" || in_it trimtab nginx dns show || true

# And back.
kill "$tune" 2>/dev/null || true
for _ in $(seq 200); do kill -0 "$tune" 2>/dev/null || break; sleep 0.1; done
in_it trimtab init --undo || { echo "first-weight: undo failed"; exit 1; }
in_it dpkg --purge trimtab >"$work/purge.log" 2>&1 || { cat "$work/purge.log"; exit 1; }
after=$(cd "$root" && find etc -type f -path 'etc/nginx/*' -exec sha256sum {} + | sort)
left=$(cd "$root" && find . -xdev -path ./proc -prune -o \( -name '*trimtab*' ! -path './tmp/*' \) -print | grep -v var/lib/dpkg || true)
if [ -n "$left" ]; then echo "first-weight: left behind:"; echo "$left"; exit 1; fi
# Weights that were not written stand there as weight=1 now, which means the same.
if [ "$before" != "$after" ]; then
  { diff <(echo "$before") <(echo "$after") || true; } | grep '^[<>]' | awk '{print $3}' | sort -u | while read -r file; do
    [ "$file" = etc/nginx/sites-available/app ] || { echo "first-weight: $file differs from before"; exit 1; }
  done
  sed 's/ weight=1;/;/' "$root/etc/nginx/sites-available/app" | grep -q "server ${backends[0]};" || { echo "first-weight: the operator's weights are not back"; exit 1; }
fi
echo "first-weight: undone, purged, nothing left behind" | tee -a "$work/said"
[ -z "${MARKDOWN:-}" ] || sed 's/^/    /' "$work/said" | scripts/tutorial.py record first-weight
