#!/usr/bin/env bash
# Package nginx: tokenizing (with crossplane as the yardstick), editing 5 MB, and 50 changes of a running NGINX.
set -euo pipefail
cd "$(dirname "$0")/.."
go test ./nginx -run '^$' -bench 'Tokenize|EditLarge' -benchtime 2s
command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || echo "bench-nginx: nginx is not installed: BenchmarkApply is skipped"
go test ./nginx -run '^$' -bench Apply -benchtime 50x
go test ./cmd/trimtab -run '^$' -bench ApplyConfirmedByStatusPage -benchtime 50x
