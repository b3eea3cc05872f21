#!/usr/bin/env bash
# The regimes of the testbed under the randomised schedule, and how far they agree with it: backends and NGINX of the
# scenario "randomised", the three workloads on a schedule drawn from a seed, the status page collected, then
# `trimtab cluster --schedule`. Everything stays in OUT: the schedule, the statistics, the model, the plot. With OUT
# from an earlier run and TOTAL=0 only the analysis is made again.
#
#   scripts/regimes-testbed.sh [OUT] [TOTAL] [RATES] [BURSTS] [PAUSES] [WINDOW]
#   defaults:                   out/regimes 1h 10:60 30s:600s 10s:100s 3s
#   three minutes instead:      out/regimes 170s 10:60 5s:30s 1s:6s 1s
#   SCENARIO=randomised SEED=1 COVARIANCE=diag; WEIGHTS_EVERY=N changes all weights every N seconds (default: never)
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-out/regimes} total=${2:-1h} rates=${3:-10:60} bursts=${4:-30s:600s} pauses=${5:-10s:100s} window=${6:-3s}
mkdir -p "$out"
bin=$out/trimtab
go build -o "$bin" ./cmd/trimtab
if [ "$total" != 0 ]; then
	port=$((20000 + RANDOM % 10000))
	"$bin" testbed --scenario "${SCENARIO:-randomised}" --listen "127.0.0.1:$port" --out "$out/testbed" --seed "${SEED:-1}" --json >"$out/testbed.json" &
	testbed=$!
	trap 'kill -INT $testbed 2>/dev/null || true; wait $testbed || true' EXIT
	for _ in $(seq 200); do
		[ -s "$out/testbed.json" ] && break
		kill -0 $testbed || exit 1
		sleep 0.1
	done
	url=$(sed 's/.*"url":"\([^"]*\)".*/\1/' "$out/testbed.json")
	status=$(sed 's/.*"status_url":"\([^"]*\)".*/\1/' "$out/testbed.json")
	"$bin" load --target "$url" --schedule random --total "$total" --random-rate "$rates" --random-duration "$bursts" \
		--random-back-off "$pauses" --seed "${SEED:-1}" --schedule-out "$out/schedule.toml" --report "$out/load.json" 2>"$out/load.log" &
	load=$!
	if [ "${WEIGHTS_EVERY:-0}" -gt 0 ]; then
		conf=$(sed 's/.*"nginx_conf":"\([^"]*\)".*/\1/' "$out/testbed.json")
		(
			turn=0
			while sleep "$WEIGHTS_EVERY" && kill -0 $load 2>/dev/null; do
				turn=$((turn + 1))
				for upstream in compose_backend home_read_backend user_read_backend; do
					weights=() n=0
					for peer in $(grep -oE 'server 127[^ ]+' "$conf" | awk '{print $2}' | sort -u); do
						n=$((n + 1))
						weights+=(--weight "$peer=$((1 + turn * n % 3))")
					done
					"$bin" nginx set -c "$conf" --upstream $upstream "${weights[@]}" --state-dir "$out/state" --prefix "$out/testbed/nginx" >>"$out/weights.log" 2>&1 || true
				done
			done
		) &
	fi
	"$bin" collect --status "$status" --out "$out/stats.ndjson" --interval 500ms --until-pid $load
	wait $load
fi
echo "== 27 regimes"
"$bin" cluster "$out/stats.ndjson" --covariance "${COVARIANCE:-diag}" --k 27 --window "$window" --schedule "$out/schedule.toml" --out "$out/model-27.json" \
	--transitions "$out/transitions-27.csv" --plot "$out/regimes-27.png"
echo "== as many as the BIC says"
"$bin" cluster "$out/stats.ndjson" --covariance "${COVARIANCE:-diag}" --k auto --window "$window" --schedule "$out/schedule.toml" --out "$out/model-auto.json" \
	--transitions "$out/transitions-auto.csv" --plot "$out/regimes-auto.png"
