#!/usr/bin/env bash
# Real NGINX of several ages, side by side on one machine: Debian's suites by debootstrap, made once and kept.
#
#   scripts/nginx-matrix.sh roots            make the roots that are missing
#   scripts/nginx-matrix.sh list             suites and versions of the roots that are there
#   scripts/nginx-matrix.sh with SUITE CMD…  run CMD with TRIMTAB_NGINX set to that suite's NGINX
#   scripts/nginx-matrix.sh test [-short]    every test that starts an NGINX, on each of them
#   scripts/nginx-matrix.sh table            measure each of them and write the table of docs/lab/nginx-versions.md
#   scripts/nginx-matrix.sh ci               shim, live, dns, apply and end-to-end runs on those that are not the machine's own
#
# SUITES (default "bookworm trixie sid") chooses; "bullseye" (1.18), and Ubuntu's "noble" (1.24) and "resolute" (1.28) are known too.
# TRIMTAB_MATRIX is the folder of the roots (default: trimtab/matrix in the user's cache folder).
set -euo pipefail
cd "$(dirname "$0")/.."

roots=${TRIMTAB_MATRIX:-${XDG_CACHE_HOME:-$HOME/.cache}/trimtab/matrix}
read -ra suites <<<"${SUITES:-bookworm trixie sid}"
# The mirror that this machine's apt uses, which is the one that is known to be reached.
apt_mirror() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^[[:space:]]*#' |
    grep -oE 'https?://[^[:space:]]+/debian/?([[:space:]]|$)' | head -n 1 | sed 's|/*[[:space:]]*$||'
}
mirror=${DEBIAN_MIRROR:-$(apt_mirror || true)}
mirror=${mirror:-http://deb.debian.org/debian}
ubuntu=${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}

say() { printf 'matrix: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# wrapper writes the program that runs a root's NGINX. It shows the root's /usr, /etc/nginx and linker cache in place of the
# machine's, in a mount namespace of its own; network, processes and all other files are the machine's, so that a
# configuration in a temporary folder means the same in and outside. The process id stays that of the caller's child.
wrapper() {
  local root=$1
  cat >"$root.nginx.$$" <<WRAPPER
#!/bin/sh
# Written by scripts/nginx-matrix.sh: NGINX of $root.
exec unshare --mount --propagation private -- /bin/sh -c '
  root=\$1; shift
  mount --bind "\$root/etc/nginx" /etc/nginx && mount --bind "\$root/etc/ld.so.cache" /etc/ld.so.cache &&
    mount --bind "\$root/usr" /usr && exec /usr/sbin/nginx "\$@"
' nginx "$root" "\$@"
WRAPPER
  chmod 755 "$root.nginx.$$"
  mv "$root.nginx.$$" "$root.nginx"
}

install_debootstrap() { apt-get install -y --no-install-recommends debootstrap >/dev/null 2>&1; }

make_root() {
  local suite=$1 root=$roots/$1 options=(--merged-usr) from=$mirror script=()
  if [ ! -x "$root/usr/sbin/nginx" ]; then
    command -v debootstrap >/dev/null || install_debootstrap || { apt-get update && install_debootstrap; } >/dev/null 2>&1 ||
      die "debootstrap is missing: apt-get install debootstrap"
    case $suite in
      noble | resolute)
        from=$ubuntu options+=(--components=main,universe --no-check-gpg)
        script=(/usr/share/debootstrap/scripts/gutsy) # that of every Ubuntu
        ;;
    esac
    say "making $root by debootstrap from $from"
    # The packages' scripts must not start anything.
    bootstrap() {
      rm -rf "$root.new"
      debootstrap --variant=minbase "${options[@]}" --include=nginx,libnginx-mod-http-lua "$suite" "$root.new" "$from" "${script[@]}" >"$root.log" 2>&1
    }
    bootstrap || bootstrap || { tail -n 5 "$root.log" >&2; die "debootstrap $suite from $from failed twice: see $root.log"; }
    rm -rf "$root.new"/var/cache/apt "$root.new"/var/lib/apt/lists "$root.new"/usr/share/{doc,man,locale}
    mv "$root.new" "$root"
  fi
  wrapper "$root"
}

make_roots() {
  [ "$(id -u)" -eq 0 ] || die "roots and mount namespaces need root: run this as root"
  mkdir -p "$roots" /etc/nginx
  for suite in "${suites[@]}"; do make_root "$suite"; done
}

version() { "$roots/$1.nginx" -v 2>&1 | sed 's|.*/||; s| .*||'; }

# with runs a command on a suite's NGINX.
with() {
  local suite=$1
  shift
  TRIMTAB_NGINX=$roots/$suite.nginx TRIMTAB_NGINX_MODULES=$roots/$suite/usr/lib/nginx/modules TRIMTAB_SUITE=$suite "$@"
}

# on_each runs a command on every suite's NGINX and fails when one of them failed.
on_each() {
  local failed=()
  for suite in "${suites[@]}"; do
    say "NGINX $(version "$suite") of $suite: $*"
    with "$suite" "$@" || failed+=("$suite")
  done
  [ ${#failed[@]} -eq 0 ] || die "failed on: ${failed[*]}"
}

case ${1:-} in
  roots) make_roots ;;
  list)
    for suite in "${suites[@]}"; do [ -x "$roots/$suite.nginx" ] && printf '%s %s %s\n' "$suite" "$(version "$suite")" "$roots/$suite.nginx"; done
    ;;
  with)
    shift
    make_roots
    with "$@"
    ;;
  test)
    shift
    make_roots
    on_each go test -count=1 "$@" -timeout 20m ./nginx/... ./loadgen/ ./deathstarbench/sim/ ./arena/testbed/ ./cmd/trimtab/
    ;;
  table)
    make_roots
    on_each env TRIMTAB_MATRIX_TABLE="$PWD/docs/lab/nginx-versions.md" go test -count=1 -run TestMatrixTable -timeout 20m -v ./cmd/trimtab/
    ;;
  ci)
    # The machine's own NGINX has been through all of make test; where it is that of one of the suites, that root is not needed.
    own=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    others=()
    for suite in "${suites[@]}"; do [ "$suite" = "$own" ] || others+=("$suite"); done
    suites=("${others[@]}")
    make_roots
    on_each go test -count=1 -short -timeout 10m ./nginx/lua ./nginx/live ./nginx/dns ./nginx/instance
    on_each go test -count=1 -timeout 5m -run 'TestApply|TestStatus|TestMaster|TestIncludes|TestLive|TestKill' ./nginx
    on_each go test -count=1 -timeout 5m -run 'TestE2EWeightsByDNS|TestE2EOrders|TestE2ELimits|TestE2EContainer|TestE2EDaemonWithLiveWeights|TestE2EDaemonTunesTheTestbed|TestE2EPageWithout|TestShimInstall' ./cmd/trimtab/
    ;;
  *) die "usage: $0 roots | list | with SUITE CMD… | test [-short] | table | ci" ;;
esac
