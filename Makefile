# Trimtab. `make help` lists the targets.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOFLAGS_BUILD := -trimpath -buildmode=pie -buildvcs=auto -ldflags "-s -w -X main.version=$(VERSION)"
BIN := bin/trimtab
PKGS := ./...
FUZZTIME ?= 30s

# make run:            the embedded testbed: make run [DURATION=90s] [SCENARIO=name|file.toml] [OUT=out]
# make run LB=URL ...: the client node: make run LB=http://nginx ARGS=stats.ndjson [DURATION=5h] [STATUS=URL]
LB ?=
ARGS ?=
DURATION ?=
SCENARIO ?=
OUT ?=
STATUS ?=

.PHONY: help
help: ## list the targets
	@awk 'BEGIN{FS=":.*## "} /^[a-z0-9_-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install NGINX and its Lua module if they are missing
	@scripts/setup.sh

.PHONY: setup-watch
setup-watch: ## install Chromium and Prometheus if they are missing: for the tests of the page, the rules and the dashboard
	@scripts/setup-watch.sh

.PHONY: build
build: ## build bin/trimtab
	@go build $(GOFLAGS_BUILD) -o $(BIN) ./cmd/trimtab

.PHONY: run
run: setup build ## the main job: the embedded testbed, or with LB=URL ARGS=stats.ndjson the client node
	@exec $(BIN) run $(if $(LB),--lb '$(LB)') $(if $(STATUS),--status '$(STATUS)') $(if $(DURATION),--duration '$(DURATION)') \
		$(if $(SCENARIO),--scenario '$(SCENARIO)') $(if $(OUT),--out '$(OUT)') $(ARGS)

.PHONY: test
test: setup ## every test that must pass, real NGINX included
	@go test -timeout 14m $(PKGS)

.PHONY: check
check: ## the inner loop, within a minute: vet and the short tests of everything that starts no server (CHECK=./pkg/... for others)
	@gofmt -l $$(git ls-files '*.go') | (! grep .) || { echo "gofmt -w these" >&2; exit 1; }
	@go vet $(or $(CHECK),$(QUICK))
	@go test -short -timeout 2m $(or $(CHECK),$(QUICK))

# What make check tests: the rooms whose tests start no NGINX and play no worlds.
QUICK := ./weights/ ./control/ ./objective/ ./plain/ ./words/ ./orders/ ./trusted/ ./scaling/ ./setup/ ./vts/ ./localhttp/ \
	./tuner/queueing/ ./tuner/load/ ./tuner/gate/ ./tuner/params/ ./nginx/rates/ ./nginx/origin/ ./prove/ .

.PHONY: race
race: setup ## the tests under the race detector, shuffled
	@go test -race -shuffle=on -timeout 30m $(PKGS)

.PHONY: race-quick
race-quick: ## what make check tests, under the race detector
	@go test -race -short -timeout 5m $(or $(CHECK),$(QUICK))

.PHONY: e2e
e2e: setup ## only the tests that start the whole program against a real NGINX
	@go test -count=1 -v -run E2E -timeout 14m ./cmd/...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (default 30s) each
	@scripts/fuzz.sh $(FUZZTIME)

.PHONY: fuzz-smoke
fuzz-smoke: ## the parsers of what others write, by counts: pages, NGINX's files, scenarios, DNS; frames (slower: files)
	@scripts/fuzz.sh 20000x vts:FuzzDecode nginx:FuzzRead deathstarbench:FuzzParse nginx/dns:FuzzQuestion
	@scripts/fuzz.sh 500x helper:FuzzServe

# make chain [PAGES=10000000] [SEED=1]; make soak [SOAK=3600]
PAGES ?= 10000000
SEED ?= 1
SOAK ?= 3600

.PHONY: chain
chain: ## random worlds from page bytes to JSON, PAGES of them, on one core
	@scripts/chain.sh '$(PAGES)' '$(SEED)'

.PHONY: soak
soak: setup ## the daemon at 200 ms for SOAK seconds with a page that flaps between all those of the cases
	@scripts/soak-pages.sh '$(SOAK)'

.PHONY: bench
bench: setup ## benchmarks and comparisons, as ratios within one run
	@scripts/bench.sh

.PHONY: arena
arena: build ## all policies over all scenarios in the simulator; rewrites docs/lab/library.md
	@scripts/arena-table.sh

# make leaderboard [OUT=out/leaderboard] [SEEDS=20] [ARGS='--policy jsed,tuned,dqn']: goes on where it was interrupted
.PHONY: leaderboard
leaderboard: build ## the learners of the literature, trained and played; rewrites docs/lab/leaderboard.md
	@exec $(BIN) arena leaderboard --seeds '$(or $(SEEDS),20)' --out '$(or $(OUT),out/leaderboard)' --markdown '$(or $(MARKDOWN),docs/lab/leaderboard.md)' $(ARGS)

# make worlds [WORLDS=60] [FIRST=1] [SEEDS=3] [POLICIES=a,b] [ARGS='--recurring --baseline least_time,start']
# make ablate [WORLDS=8] [FIRST=1] [SEEDS=1] [POLICIES=least_conn/tuned] [ARGS='--only MinGain,DeadBand --library']
# make regimes [WORLDS=10] [FIRST=101] [SEEDS=1] [ARGS='--method least_conn']
# All rewrite their table in docs/lab; MARKDOWN=other.md another one's, MARKDOWN= none.
WORLDS ?=
FIRST ?= 1
SEEDS ?=
POLICIES ?=
over_worlds = --first '$(FIRST)' $(if $(POLICIES),--policy '$(POLICIES)') $(if $(MARKDOWN),--markdown '$(MARKDOWN)') $(ARGS)

.PHONY: worlds
worlds: MARKDOWN ?= docs/lab/worlds.md
worlds: build ## policies over generated worlds: p99 against least_conn; rewrites docs/lab/worlds.md
	@exec $(BIN) arena worlds --worlds '$(or $(WORLDS),60)' --seeds '$(or $(SEEDS),3)' $(over_worlds)

.PHONY: ablate
ablate: MARKDOWN ?= docs/lab/ablation.md
ablate: build ## the tuner with each parameter halved, doubled, off; rewrites docs/lab/ablation.md
	@exec $(BIN) arena ablate --worlds '$(or $(WORLDS),8)' --seeds '$(or $(SEEDS),1)' $(over_worlds)

.PHONY: regimes
regimes: MARKDOWN ?= docs/lab/regimes.md
regimes: FIRST := $(if $(filter file,$(origin FIRST)),101,$(FIRST))
regimes: build ## what regimes bring in worlds in which load returns; rewrites docs/lab/regimes.md
	@exec $(BIN) arena returns --worlds '$(or $(WORLDS),10)' --first '$(FIRST)' --seeds '$(or $(SEEDS),1)' \
		$(if $(MARKDOWN),--markdown '$(MARKDOWN)') $(ARGS)

.PHONY: objectives
objectives: setup build ## one run per objective on a real NGINX, and the plots of docs/lab/objectives.md; wants an idle machine
	@scripts/objectives.sh

.PHONY: lab
lab: build ## all figures in docs/lab again; variables: see scripts/lab.sh
	@scripts/lab.sh

.PHONY: docs
docs: ## write the generated parts of docs/reference and docs/lab/parameters.md again; tests hold them
	@TRIMTAB_UPDATE_DOCS=1 go test -count=1 -run 'TestReferenceOf' ./cmd/trimtab ./daemon
	@go test -count=1 -run TestDocumentHoldsTheParameters ./tuner/params -update

.PHONY: notices
notices: ## write THIRD_PARTY_NOTICES, the licences of all that is linked in
	@scripts/notices.sh

.PHONY: attack
attack: ## what another user can do to a running daemon; needs root
	@scripts/attack.sh

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted" >&2; exit 1; fi
	@go vet $(PKGS)
	@go tool staticcheck $(PKGS)

# Kept out of go.mod: they are no part of the program.
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: lint-all
lint-all: ## golangci-lint: errors not looked at, writes without a reader, long lines
	@go run $(GOLANGCI) run

.PHONY: lint-tool
lint-tool: # fetches and builds what lint-all runs
	@go run $(GOLANGCI) version >/dev/null 2>&1

.PHONY: vuln-tool
vuln-tool: # fetches and builds what vuln runs
	@go run $(GOVULNCHECK) -version >/dev/null 2>&1 || [ $$? = 3 ]

.PHONY: vuln
vuln: ## known vulnerabilities in what is linked in; says so where the data base is out of reach
	@out=$$(go run $(GOVULNCHECK) ./cmd/trimtab 2>&1) && printf '%s\n' "$$out" || { code=$$?; printf '%s\n' "$$out"; \
		if grep -qE 'vuln.go.dev|fetching vulnerabilities' <<<"$$out" && ! grep -q 'Vulnerability #' <<<"$$out"; then echo "vuln: the data base is out of reach: not checked" >&2; else exit $$code; fi; }

.PHONY: packages
packages: ## dist/: deb, rpm, static binaries for amd64 and arm64, OCI image, SBOM, release notes, checksums
	@scripts/packages.sh

.PHONY: packages-twice
packages-twice: ## make the packages twice and compare: they must be the same
	@scripts/packages.sh twice

.PHONY: packages-test
packages-test: ## the tests of what makes the packages: it is a module of its own
	@cd packaging && go vet ./... && go test ./...

.PHONY: packages-run
packages-run: ## install the rpm, run the image and the services of the compose file as far as this machine can; needs root and dist/
	@scripts/check-packages.sh dist

.PHONY: first-weight
first-weight: ## from a fresh Debian root to the first tuned weight, by the deb and trimtab init, with a stopwatch; needs root
	@scripts/first-weight.sh

.PHONY: tutorials
tutorials: setup build ## every command of the three tutorials, with a stopwatch; rewrites docs/lab/tutorials.md; needs root
	@for name in researcher operator analyst; do MARKDOWN='$(or $(MARKDOWN),docs/lab/tutorials.md)' scripts/tutorial.py "$$name" $(BIN); done

.PHONY: clean
clean: ## remove what was built and the default output directory
	@rm -rf bin out dist

.PHONY: matrix
matrix: setup ## every test that starts an NGINX, on NGINX 1.22, 1.26 and 1.30, and the table of docs/lab/nginx-versions.md
	@scripts/nginx-matrix.sh test
	@scripts/nginx-matrix.sh table

RUNS ?= 100
.PHONY: prove-runs
prove-runs: ## RUNS=100 simulated experiments on equal servers and on 1:2:4: how often they find what is there, and what is not
	@TRIMTAB_PROVE_RUNS=$(RUNS) go test -count=1 -v -timeout 30m -run 'Show' ./prove/rehearse | grep -v '^=== '

.PHONY: matrix-ci
matrix-ci: setup ## the part of the matrix that CI runs: shim, live, dns, apply and end-to-end runs on NGINX 1.26 and 1.30
	@scripts/nginx-matrix.sh ci
