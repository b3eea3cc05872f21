#!/usr/bin/env bash
# Runs what make packages made, as far as one machine can: the rpm is installed by rpm, verified, run and erased in a Debian root; the
# image is unpacked and run as its own user on a read-only root; the compose file's services are started by hand from its own text, with the
# unpacked image as Trimtab, until NGINX takes tuned weights by DNS. Each part ends with ok, or says why it could not be done here.
#   usage: scripts/check-packages.sh [DIST] [rpm|image|compose]...      DIST (default dist) is what make packages wrote; needs root
set -euo pipefail
cd "$(dirname "$0")/.."
dist=$(realpath "${1:-dist}")
shift || true
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(rpm image compose)
[ "$(id -u)" = 0 ] || { echo "check-packages: skipped: not root"; exit 0; }
arch=$(go env GOARCH)
roots=${TRIMTAB_MATRIX:-${XDG_CACHE_HOME:-$HOME/.cache}/trimtab/matrix}
work=$(mktemp -d /var/tmp/trimtab-packages-XXXXXX)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  sleep 1
  { grep -o " $work[^ ]*" /proc/mounts || true; } | sort -r | while read -r m; do umount -l "$m" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
fail() { echo "check-packages: $*" >&2; exit 1; }

# PROGRAM=FILE puts another program in the image's place, to try a change without making the packages again.
# unpack puts the image's files of this machine's architecture into a folder: what a container engine would mount.
unpack() {
  mkdir -p "$work/oci" "$1"
  tar -xf "$dist"/trimtab-*-oci.tar -C "$work/oci"
  python3 - "$work/oci" "$arch" "$1" "$work/image.json" <<'PY'
import json, os, sys, tarfile
oci, arch, root, out = sys.argv[1:]
blob = lambda digest: os.path.join(oci, "blobs", *digest.split(":"))
index = json.load(open(os.path.join(oci, "index.json")))
manifest = next(m for m in index["manifests"] if m["platform"]["architecture"] == arch)
manifest = json.load(open(blob(manifest["digest"])))
for layer in manifest["layers"]:
    tarfile.open(blob(layer["digest"])).extractall(root)
json.dump(json.load(open(blob(manifest["config"]["digest"])))["config"], open(out, "w"))
PY
  [ -z "${PROGRAM:-}" ] || install -m 755 "$PROGRAM" "$1/usr/bin/trimtab"
}

part_rpm() {
  [ -d "$roots/bookworm" ] || { echo "rpm: skipped: no Debian root (scripts/nginx-matrix.sh roots)"; return; }
  local rpm root=$work/rpm
  rpm=$(ls "$dist"/trimtab-*"$(uname -m)".rpm)
  cp -a "$roots/bookworm" "$root"
  mount -t proc proc "$root/proc"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  in_it() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
  { in_it apt-get update && in_it apt-get install -y --no-install-recommends rpm; } >"$work/rpm.log" 2>&1 ||
    { tail -n 3 "$work/rpm.log"; echo "rpm: skipped: rpm cannot be installed here"; return; }
  cp "$rpm" "$root/tmp/trimtab.rpm"
  in_it rpm -i --nodeps /tmp/trimtab.rpm || fail "rpm -i failed"
  in_it rpm -V --nodeps trimtab || fail "rpm -V: what is installed is not what was packed"
  in_it getent passwd trimtab >/dev/null || fail "rpm: the user trimtab was not made"
  in_it rpm -qc trimtab | grep -qx /etc/trimtab/trimtab.toml || fail "rpm: the configuration is no configuration"
  in_it trimtab --version || fail "rpm: the program does not run"
  in_it trimtab tune --check-config 2>"$work/check.log" || grep -q nginx "$work/check.log" || { cat "$work/check.log"; fail "rpm: its configuration is not valid"; }
  echo "interval = \"2s\"" >>"$root/etc/trimtab/trimtab.toml"
  in_it rpm -e --nodeps trimtab || fail "rpm -e failed"
  [ ! -e "$root/usr/bin/trimtab" ] || fail "rpm -e left the program"
  [ -e "$root/etc/trimtab/trimtab.toml.rpmsave" ] || fail "rpm -e did not keep the edited configuration"
  echo "rpm: ok: installed, verified, run, erased; the edited configuration was kept"
}

part_image() {
  local root=$work/image out
  [ -d "$root" ] || unpack "$root"
  local user
  user=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["User"])' "$work/image.json")
  # Read-only but for its volumes, as compose and Kubernetes run it.
  mkdir -p "$root/proc"
  mount --bind "$root" "$root"
  mount -o remount,ro,bind "$root"
  for volume in var/lib/trimtab run/trimtab; do mount -t tmpfs -o "uid=${user%%:*},gid=${user##*:},mode=700" tmpfs "$root/$volume"; done
  in_image() { chroot --userspec="$user" --groups='' "$root" /usr/bin/trimtab "$@"; }
  in_image --version || fail "image: the program does not run"
  in_image scenario list >/dev/null || fail "image: scenario list failed"
  out=$(in_image arena capacity-1-2-4 --policy equal --seeds 1 --json --out /var/lib/trimtab/arena --oracle-cache /var/lib/trimtab/cache) || fail "image: arena failed"
  grep -q '"policy":"equal"' <<<"$out" || fail "image: arena said $out"
  if in_image graph generate --out /etc/graph 2>/dev/null; then fail "image: its root can be written to"; fi
  echo "image: ok: runs as $user on a read-only root"
}

# text prints the content of a config of the compose file.
text() { python3 -c 'import yaml,sys; print(yaml.safe_load(open(sys.argv[1]))["configs"][sys.argv[2]]["content"])' packaging/examples/compose.yaml "$1"; }

part_compose() {
  python3 -c 'import yaml' 2>/dev/null || { echo "compose: skipped: python3-yaml is missing"; return; }
  [ -x "$roots/sid.nginx" ] || { echo "compose: skipped: no root with NGINX 1.27.3 or newer (scripts/nginx-matrix.sh roots)"; return; }
  local root=$work/compose # that of the image's part cannot be written to
  unpack "$root"
  # One network namespace stands for that of NGINX and Trimtab; services a, b and c are addresses of it.
  unshare --net --mount --propagation private -- "$BASH" -euo pipefail -c "
    $(declare -f text fail)
    roots='$roots' root='$root' work='$work' dist='$dist'
    $(declare -f compose_inside)
    compose_inside"
}

compose_inside() {
  ip link set lo up
  for host in a:127.0.1.1 b:127.0.1.2 c:127.0.1.3; do echo "${host#*:} ${host%%:*}"; done >"$work/hosts"
  echo "127.0.0.1 localhost nginx" >>"$work/hosts"
  mount --bind "$work/hosts" /etc/hosts
  local -a run=()
  # Stock NGINX of Debian's sid, as the file's image has it.
  mkdir -p "$work/shim"
  chroot "$roots/sid" /usr/sbin/nginx -V 2>&1 | head -n 1
  "$root/usr/bin/trimtab" nginx shim install --dir "$work/shim" --listen 127.0.0.1:8081 --nginx "$roots/sid.nginx" >/dev/null
  start_nginx() { # NAME CONFIG ADDRESS
    local dir=$work/$1
    mkdir -p "$dir"
    text "$2" | sed -e "s|/etc/nginx/trimtab/|$work/shim/|g" -e "s|listen 80;|listen $3:80;|" >"$dir/nginx.conf"
    "$roots/sid.nginx" -c "$dir/nginx.conf" -g "daemon off; pid $dir/pid; error_log $dir/error.log;" >"$dir/log" 2>&1 &
    run+=($!)
  }
  start_nginx a backend-fast 127.0.1.1
  start_nginx b backend-fast 127.0.1.2
  start_nginx c backend-slow 127.0.1.3
  start_nginx lb nginx 127.0.0.1
  for _ in $(seq 200); do curl -sf http://127.0.0.1:8080/ >/dev/null 2>&1 && break; sleep 0.2; done
  curl -sf http://127.0.0.1:8080/ >/dev/null || { tail "$work"/*/log "$work"/*/error.log; fail "compose: NGINX does not answer"; }
  # The image's root, its volumes, and the file's configuration.
  mkdir -p "$root/proc" "$root/etc"
  mount -t proc proc "$root/proc" 2>/dev/null || true
  mount --bind "$root" "$root"
  touch "$root/etc/hosts"
  mount --bind "$work/hosts" "$root/etc/hosts"
  text trimtab | sed 's/observe_first = .*/observe_first = "10s"/' >"$work/trimtab.toml"
  chmod 644 "$work/trimtab.toml"
  mount --bind "$work/trimtab.toml" "$root/etc/trimtab/trimtab.toml"
  mount -o remount,ro,bind "$root"
  for volume in var/lib/trimtab run/trimtab tmp; do mount -t tmpfs -o uid=65532,gid=65532,mode=700 tmpfs "$root/$volume"; done
  chroot --userspec=65532:65532 --groups='' "$root" /usr/bin/trimtab tune >"$work/tune.log" 2>&1 &
  run+=($!)
  chroot --userspec=65532:65532 --groups='' "$root" /usr/bin/trimtab load http://nginx:8080/ --rate 150 --duration 10m >"$work/load.log" 2>&1 &
  run+=($!)
  local ok=''
  for _ in $(seq 360); do
    if grep -q 'msg="weights changed"' "$work/tune.log"; then ok=1; break; fi
    kill -0 "${run[4]}" 2>/dev/null || break
    sleep 0.5
  done
  page=$(curl -s -o "$work/page.html" -w '%{http_code}' http://127.0.0.1:9147/ || true)
  curl -s http://127.0.0.1:8081/status/format/json >"$work/status.json" || true
  for pid in "${run[@]}"; do kill "$pid" 2>/dev/null || true; done
  [ -n "$ok" ] || { tail -n 20 "$work/tune.log"; fail "compose: no weight was changed"; }
  [ "$page" = 200 ] || fail "compose: the published page answers $page"
  grep 'msg="weights changed"' "$work/tune.log" | head -n 1
  echo "compose: ok: the file's NGINX, backends, load and Trimtab ran; weights were tuned by DNS, the page answers"
}

for part in "${parts[@]}"; do "part_$part"; done
