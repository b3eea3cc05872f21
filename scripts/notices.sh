#!/usr/bin/env bash
# Writes THIRD_PARTY_NOTICES: the licences of all modules that are linked into bin/trimtab, as they come with their source.
set -euo pipefail
cd "$(dirname "$0")/.."
out=THIRD_PARTY_NOTICES
{
  echo "Trimtab is linked with the modules below, and its page with uPlot. Each comes under the licence printed with it."
  go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/trimtab | sort -u | while read -r path version dir; do
    printf '\n%s\n%s %s\n%s\n' "$(printf '=%.0s' {1..80})" "$path" "$version" "$(printf '=%.0s' {1..80})"
    found=$(find "$dir" -maxdepth 1 -type f \( -iname 'LICENSE*' -o -iname 'LICENCE*' -o -iname 'COPYING*' -o -iname 'NOTICE*' \) | sort)
    [ -n "$found" ] || { echo "notices: $path has no licence file" >&2; exit 1; }
    for f in $found; do cat "$f"; echo; done
  done
  printf '\n%s\nuPlot %s, in the page\n%s\n' "$(printf '=%.0s' {1..80})" "$(grep -o '(v[0-9.]*)' page/assets/uplot.js | head -n 1 | tr -d '()')" "$(printf '=%.0s' {1..80})"
  cat page/assets/uplot.LICENSE
  printf '\n%s\nGo %s\n%s\n' "$(printf '=%.0s' {1..80})" "$(go env GOVERSION)" "$(printf '=%.0s' {1..80})"
  cat "$(go env GOROOT)/LICENSE"
} >"$out.new"
mv "$out.new" "$out"
