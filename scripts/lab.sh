#!/usr/bin/env bash
# Makes the figures in docs/lab again, about ten minutes each on two cores: policies over generated worlds, the ablation
# of the tuner's parameters, and all policies over the built-in scenarios.
# usage: scripts/lab.sh [worlds] [ablation] [library]      (default: all)
# Variables: FIRST (1) is the seed of the first world, WORLDS (60) and SEEDS (3) are for worlds, ABLATE_WORLDS (8) and
# ABLATE_SEEDS (1) for the ablation, LIBRARY_SEEDS (5) for the library; DIR (docs/lab) holds the documents.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${TRIMTAB:-bin/trimtab}
[ -x "$binary" ] || { echo "lab: $binary is missing: run 'make build' first" >&2; exit 1; }
dir=${DIR:-docs/lab}
[ $# -gt 0 ] || set -- worlds ablation library

failed=()
for part in "$@"; do
  echo "lab: $part" >&2
  # Cells that could not be played are named and make the command fail; the figures of the others are written.
  case $part in
    worlds)
      "$binary" arena worlds --worlds "${WORLDS:-60}" --first "${FIRST:-1}" --seeds "${SEEDS:-3}" \
        --markdown "$dir/worlds.md" || failed+=("$part") ;;
    ablation)
      "$binary" arena ablate --worlds "${ABLATE_WORLDS:-8}" --first "${FIRST:-1}" --seeds "${ABLATE_SEEDS:-1}" \
        --markdown "$dir/ablation.md" || failed+=("$part") ;;
    library)
      SEEDS=${LIBRARY_SEEDS:-5} MARKDOWN=$dir/library.md scripts/arena-table.sh || failed+=("$part") ;;
    *)
      echo "lab: $part: want worlds, ablation or library" >&2
      exit 2 ;;
  esac
done
[ ${#failed[@]} -eq 0 ] || { echo "lab: not everything could be played: ${failed[*]}" >&2; exit 1; }
