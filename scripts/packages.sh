#!/usr/bin/env bash
# Makes what is given out, below dist/: static binaries for linux amd64 and arm64, deb and rpm, an OCI image, SBOM, release notes,
# checksums. Two builds of one commit are the same.
#   usage: scripts/packages.sh [OUT]            make everything
#          scripts/packages.sh twice            make everything twice and compare
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = twice ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  "$0" "$work/a" >/dev/null
  "$0" "$work/b" >/dev/null
  diff -r "$work/a" "$work/b" || { echo "packages: two builds differ" >&2; exit 1; }
  echo "packages: two builds are identical: $(find "$work/a" -type f | wc -l) files"
  exit 0
fi
out=$(realpath -m "${1:-dist}")
# Before there is a tag, the version is that of the newest release in the changelog.
newest=$(sed -n 's/^## \([0-9][0-9.]*\).*/v\1/p;/^## [0-9]/q' CHANGELOG.md)
version=$(git describe --tags --dirty 2>/dev/null || echo "$newest")
if tag=$(git describe --tags --exact-match 2>/dev/null) && [ "$tag" != "$newest" ]; then
  echo "packages: the tag is $tag, and the newest heading of CHANGELOG.md $newest: they must be the same" >&2
  exit 1
fi
at=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH=$at TZ=UTC LC_ALL=C
umask 022
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
rm -rf "$out"
mkdir -p "$out" "$build/man"
# ARCHES=amd64 makes fewer.
arches=${ARCHES:-amd64 arm64}
for arch in $arches; do
  echo "packages: trimtab for linux/$arch" >&2
  # Go's linker makes no static program that is position-independent: deb and rpm have one that the loader places.
  for mode in exe:linux pie:pie; do
    CGO_ENABLED=0 GOOS=linux GOARCH=$arch GOAMD64=v1 go build -trimpath -buildmode="${mode%:*}" -buildvcs=auto \
      -ldflags "-s -w -X main.version=$version" -o "$build/trimtab-${mode#*:}-$arch" ./cmd/trimtab
  done
  cp "$build/trimtab-linux-$arch" "$out/"
done
own=$build/trimtab-linux-$(go env GOARCH)
"$own" man "$build/man" >/dev/null
packaging() { (cd packaging && go run . -root .. -in "$build" -out "$out" -version "$version" -time "$at" -arch "$arches" "$@"); }
packaging -man5 "$build/man/trimtab.toml.5"
gzip -9n "$build"/man/*
for shell in bash zsh fish; do "$own" completion "$shell" >"$build/completion.$shell"; done
sed 's|/usr/local/bin/trimtab|/usr/bin/trimtab|g; /^# Trimtab.s daemon/,/^#   systemctl/d; /^# network\. Install/d' scripts/trimtab.service >"$build/trimtab.service"
# All that the package configures is the defaults, so that init can tell an untouched file: every key is a comment.
sed -E '/^[a-z_]+ = /s/^/# /' scripts/trimtab.toml >"$build/trimtab.toml"
"$own" tune --check-config --config "$build/trimtab.toml" >/dev/null 2>"$build/check" || grep -q 'nginx' "$build/check" || { cat "$build/check" >&2; exit 1; }
packaging
echo "packages: SBOM" >&2
# Of the binary, which holds what it was linked from.
(cd packaging && go tool cyclonedx-gomod bin -json -std -noserial -version "$version" -output "$out/trimtab.sbom.json" "$own" 2>"$build/sbom.log") ||
  { tail -n 3 "$build/sbom.log" >&2; echo "packages: no SBOM: the tool is missing or failed" >&2; exit 1; }
# Without the time at which it was made.
sed -i '/"timestamp":/d' "$out/trimtab.sbom.json"
awk '/^## /{in_it=0} /^## [0-9]/{n++; in_it=n==1} in_it' CHANGELOG.md >"$out/RELEASE_NOTES.md"
(cd "$out" && sha256sum -- * >"$build/SHA256SUMS" && mv "$build/SHA256SUMS" SHA256SUMS)
ls -l "$out"
