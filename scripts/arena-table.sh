#!/usr/bin/env bash
# Plays the full comparison, all built-in scenarios and policies with 5 seeds, and rewrites the tables in docs/lab/library.md
# (MARKDOWN names another document).
# usage: scripts/arena-table.sh [OUTDIR]      (default out/arena: rows, courses, page and plots)
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-out/arena}
binary=${TRIMTAB:-bin/trimtab}
[ -x "$binary" ] || { echo "arena-table: $binary is missing: run 'make build' first" >&2; exit 1; }
policies=equal,random,region-aware,l3,grid,tuned,oracle
policies+=,least_conn/equal,least_conn/region-aware,least_conn/l3,least_conn/grid,least_conn/tuned,least_conn/oracle
policies+=,random_two,peak_ewma,least_time
exec "$binary" arena all --policy "$policies" --seeds "${SEEDS:-5}" --out "$out" --markdown "${MARKDOWN:-docs/lab/library.md}"
