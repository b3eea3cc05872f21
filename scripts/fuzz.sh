#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time each, or only those named.
#   usage: scripts/fuzz.sh [TIME|COUNTx] [PACKAGE:TARGET]...
# Where a run must not fail by chance give a count (20000x): at the end of a time a busy machine makes the go command
# report "context deadline exceeded" though no input failed (golang.org/issue/75804).
set -euo pipefail
cd "$(dirname "$0")/.."
fuzztime=${1:-30s}
shift || true
targets() { grep -oE '^func Fuzz[A-Za-z0-9_]+' "$1" | sed 's/^func //'; }
fuzz() { # FOLDER TARGET
  echo "== $2 ($1)"
  go test -run '^$' -fuzz "^$2\$" -fuzztime "$fuzztime" -fuzzminimizetime 100x "$1"
}
if [ $# -gt 0 ]; then
  for one in "$@"; do fuzz "./${one%:*}" "${one#*:}"; done
  exit
fi
grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | while read -r file; do
  for target in $(targets "$file"); do fuzz "$(dirname "$file")" "$target"; done
done
