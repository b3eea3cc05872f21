#!/usr/bin/env bash
# Runs scripts/trimtab.service under a real systemd: boots a minimal Debian 12 with NGINX in a container (systemd-nspawn, loopback
# network only), with the testbed's backends and a light load, and checks what an operator would do with the unit. Ends with code 1
# when a check fails, and with 0 and the reason when such a container cannot be had here. Needs root, some 700 MB of disk, and
# Debian's archive unless BASE exists. About five minutes, and four more for debootstrap. NGINX of the host is left alone.
#   usage: scripts/check-unit.sh [BASE]    folder of a Debian 12 tree as this script makes it, kept for the next time (default: none is kept)
set -euo pipefail
cd "$(dirname "$0")/.."
skip() { echo "check-unit: skipped: $*"; exit 0; }
[ "$(id -u)" = 0 ] || skip "not root"
for tool in systemd-nspawn nsenter; do command -v "$tool" >/dev/null || skip "$tool is not installed (Debian: systemd-container, util-linux)"; done
work=$(mktemp -d /var/tmp/trimtab-unit-XXXXXX)
base=${1:-$work/base} root=$work/root
machine='' failed=0
cleanup() {
  if [ -n "$machine" ] && kill -0 "$machine" 2>/dev/null; then
    in_it systemctl --no-block poweroff >/dev/null 2>&1 || true
    for _ in $(seq 150); do kill -0 "$machine" 2>/dev/null || break; sleep 0.2; done
    kill -KILL "$machine" 2>/dev/null || true
    wait "$machine" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT

if [ ! -e "$base/usr/bin/systemctl" ]; then
  command -v debootstrap >/dev/null || skip "debootstrap is not installed"
  mkdir -p "$base"
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,nginx,libnginx-mod-http-lua,curl,procps,openssl bookworm "$base" \
    >"$work/debootstrap.log" 2>&1 || { tail -n 3 "$work/debootstrap.log"; rm -rf "$base"; skip "debootstrap did not succeed"; }
fi
cp -a "$base" "$root"
go build -o "$root/usr/local/bin/trimtab" ./cmd/trimtab
install -m 644 scripts/trimtab.service "$root/etc/systemd/system/trimtab.service"
chroot "$root" useradd --system --no-create-home --shell /usr/sbin/nologin trimtab

# Without systemd on the host there is no unit that nspawn could ask for.
keep=(); [ -d /run/systemd/system ] || keep=(--keep-unit)
# Its own filter of 252 does not know Landlock.
systemd-nspawn --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" -q -D "$root" -b --private-network --register=no "${keep[@]}" --console=pipe </dev/null >"$work/boot.log" 2>&1 &
machine=$!
in_it() { nsenter -t "$(pgrep -P "$machine" | head -n 1)" -a -- env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"; }
within() { # seconds command...: until the command succeeds
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ "$SECONDS" -lt "$end" ] || return 1; sleep 0.5; done
}
booted() { in_it systemctl is-system-running | grep -qE 'running|degraded'; }
within 60 booted || { tail -n 5 "$work/boot.log"; skip "the container does not boot"; }

check() { # what command...
  local what=$1; shift
  if "$@" >"$work/out" 2>&1; then echo "ok    $what"; else
    echo "FAIL  $what: $*"; sed 's/^/      /' "$work/out" | tail -n 5; failed=$((failed + 1))
  fi
}
not() { ! "$@"; }
mark() { sleep 1.1; since=$(date +%s); } # what is logged from here on; journalctl's --since has seconds
logs() { in_it journalctl -u trimtab -o cat --no-pager --since "@$since" "$@"; }
logged() { logs | grep -qE -- "$1"; }
show() { in_it systemctl show trimtab --value -p "$1"; }
shows() { [ "$(show "$1")" = "$2" ]; }
get() { in_it curl -sf --unix-socket /run/trimtab/trimtab.sock "http://localhost/$1"; }
metric() { get metrics | grep -qxF -- "$1"; }
conf=$root/etc/trimtab/trimtab.toml app=$root/etc/nginx/sites-available/app
set_field() { sed -i "0,/^$1 = /s|^$1 = .*|$1 = $2|" "$conf"; } # the first one of that name
weights() { grep -o 'weight=[0-9]*' "$app" | tr '\n' ' '; }
# An operator's edit with which another change pays, put in force by the operator.
edit() { sed -i -E "s/( *server 127[0-9.:]+)[^;]*;/\1 weight=1;/; 0,/weight=1;/s//weight=5;/" "$app"; in_it systemctl reload nginx; }
changed() { logged 'msg="weights changed".*reloaded=true'; }

in_it systemd-run -q --unit=bed trimtab testbed --scenario capacity-1-2-4 --listen 127.0.0.1:18080 --json --out /var/lib/bed
within 20 in_it sh -c 'journalctl -u bed -o cat | grep -q backends'
servers=$(in_it journalctl -u bed -o cat | grep -o '"backends":{[^}]*}' | grep -oE '127\.0\.0\.1:[0-9]+' | sed 's/.*/server & weight=1;/')
printf 'upstream app {\n%s\nkeepalive 16;\n}\nserver { listen 127.0.0.1:80; location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; } }\n' \
  "$servers" >"$app"
in_it chown www-data:adm /etc/nginx/sites-available/app
chmod 640 "$app"
rm "$root/etc/nginx/sites-enabled/default"
ln -s ../sites-available/app "$root/etc/nginx/sites-enabled/app"
# Keys where operators have them.
in_it openssl req -x509 -newkey rsa:2048 -nodes -keyout /root/key.pem -out /root/cert.pem -days 2 -subj /CN=unit 2>/dev/null
echo 'server { listen 127.0.0.1:443 ssl; ssl_certificate /root/cert.pem; ssl_certificate_key /root/key.pem; }' >"$root/etc/nginx/sites-enabled/tls"
in_it trimtab nginx shim install --enable /etc/nginx/conf.d >/dev/null
in_it systemctl restart nginx
install -D -m 644 scripts/trimtab.toml "$conf"
set_field observe_first '"10s"'
set_field stale_after '"5s"'
set_field test_timeout '"5s"'
set_field confirm_timeout '"3s"'
# The daemon asks for what its configuration needs: here 49 s.
mkdir -p "$root/etc/systemd/system/trimtab.service.d"
printf '[Unit]\nStartLimitBurst=50\n[Service]\nWatchdogSec=5\n' >"$root/etc/systemd/system/trimtab.service.d/check.conf"
in_it systemctl daemon-reload
in_it systemd-run -q --unit=load trimtab load --target http://127.0.0.1 --workload mixed --arrival exp --rate 150 --duration 60m --json

echo "systemd $(in_it systemctl show --value -p Version) · $(in_it nginx -v 2>&1) · Linux $(uname -r)"
check "systemd-analyze verify" in_it systemd-analyze verify trimtab.service
check "systemd-analyze security, exposure at most 2.4" in_it systemd-analyze security --no-pager --threshold=24 trimtab.service
tail -n 1 "$work/out"

mark; check "start (Type=notify)" in_it systemctl start trimtab
check "active at once" shows ActiveState active
check "/readyz" within 15 get readyz
check "/healthz" get healthz
check "nginx -t passes in the sandbox" not logged 'every change will be refused'
check "state folder is root's alone" in_it sh -c '[ "$(stat -c %U:%a /var/lib/trimtab)" = root:700 ]'
check "observes first" within 15 logged 'changes are held.*observing: first start'
check "then no longer" within 30 logged 'changes are no longer held'
mark; edit; check "weights change, confirmed" within 40 changed
check "the file holds other weights than the operator's" not [ "$(weights)" = "weight=5 weight=1 weight=1 " ]
check "owner and mode of the file stay" in_it sh -c '[ "$(stat -c %U:%G:%a /etc/nginx/sites-available/app)" = www-data:adm:640 ]'
check "who reads the network is not root" in_it sh -c 'test "$(ps -o user= --ppid "$(systemctl show trimtab --value -p MainPID)")" = trimtab'
check "and confined as far as this kernel can" not in_it sh -c 'journalctl -u trimtab -o cat | grep "cannot confine"'
check "explain says so" in_it sh -c 'trimtab explain | grep -q "Weights were changed last"'

mark; check "reload" in_it systemctl reload trimtab
check "taken over" within 5 logged 'configuration taken over'
mark; sed -i 's/^min_gain/min_gian/' "$conf"
check "reload of a faulty configuration is an error" not in_it systemctl reload trimtab
sed -i 's/^min_gian/min_gain/' "$conf"
check "the daemon keeps the old one" within 5 metric 'trimtab_config_last_reload_successful 0'
check "and is active" shows SubState running
check "journalctl -p err finds it" sh -c "$(declare -f in_it logs); machine=$machine since=$since; logs -p err | grep -q min_gian"

mark; in_it trimtab tune --hold >/dev/null
check "--hold from a shell" within 8 logged 'changes are held.*hold file'
in_it trimtab tune --release >/dev/null
check "--release" within 8 logged 'changes are no longer held'

mark; in_it systemctl kill -s KILL --kill-whom=main trimtab
check "restart after kill -9" within 30 logged 'msg=started'
check "with its state: it does not observe first again" not logged 'observing: first start'
edit; check "and changes weights" within 60 changed

mark; in_it systemctl kill -s STOP --kill-whom=main trimtab
check "a hung daemon is killed by the watchdog" within 70 logged 'Watchdog timeout'
check "and started again" within 30 logged 'msg=started'

mark; in_it systemctl stop nginx
check "NGINX stopped: not ready" within 20 not get readyz
sleep 10
check "NGINX is not started" not in_it systemctl -q is-active nginx
check "the daemon is active" shows SubState running
in_it systemctl start nginx
check "NGINX back: ready" within 30 get readyz
mark; in_it systemctl restart nginx
check "NGINX restarted: ready" within 30 get readyz

mark; before=$(weights)
check "stop" in_it timeout 10 systemctl stop trimtab
check "ended well" shows Result success
check "the weights stay" [ "$(weights)" = "$before" ]
set_field on_exit '"restore"'
mark; in_it systemctl start trimtab
edit; check "weights change" within 60 changed
check "stop with on_exit restore, within the least time between two reloads" in_it timeout 20 systemctl stop trimtab
check "ended well" shows Result success
check "the operator's weights are back" [ "$(weights)" = "weight=5 weight=1 weight=1 " ]
set_field on_exit '"keep"'

mkdir -p "$root/srv/log"
echo 'server { listen 127.0.0.1:90; access_log /srv/log/a.log; }' >"$root/etc/nginx/sites-enabled/log"
in_it systemctl reload nginx
mark; in_it systemctl start trimtab
check "a log folder that the sandbox lacks: said at the start" within 20 logged 'every change will be refused.*ReadWritePaths'
printf '[Service]\nReadWritePaths=/srv/log\n' >"$root/etc/systemd/system/trimtab.service.d/log.conf"
in_it systemctl daemon-reload
mark; check "restart" in_it systemctl restart trimtab
edit; check "with ReadWritePaths= in a drop-in weights change" within 60 changed

sed -i 's/keepalive 16;/zone app 64k; keepalive 16;/' "$app"
rm "$root/etc/nginx/conf.d/trimtab-status.conf"
in_it trimtab nginx live install --upstream app --status-listen 127.0.0.1:8081 >/dev/null
echo 'include /etc/nginx/trimtab/live.conf;' >"$root/etc/nginx/conf.d/live.conf"
set_field kind '"live"'
check "kind = live: start" in_it systemctl restart nginx trimtab
mark; edit; check "kind = live: weights change without a reload" within 60 logged 'msg="weights changed".*reloaded=false'
check "and not in the file" [ "$(weights)" = "weight=5 weight=1 weight=1 " ]
check "stop" in_it timeout 20 systemctl stop trimtab

[ "$failed" = 0 ] || { echo "check-unit: $failed checks failed"; in_it journalctl -u trimtab --no-pager -n 40; exit 1; }
echo "check-unit: all passed"
