# Every target documents itself with "## ": `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run demo up check lint test clients faults audit bench

# More flags for `make run`, e.g. ARGS="--listen 0.0.0.0:8080".
ARGS ?=

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build and start the server with ten sample users; nothing else is needed
	cargo run --release --bin scorewire -- serve --sample $(ARGS)

demo: ## Start the server with two feeds and play the sample match on its board, again and again
	cargo build --release --bin scorewire
	./scripts/demo.sh target/release/scorewire

up: ## Start a fleet from locally installed Redis and PostgreSQL: two APIs, two workers
	cargo build --release --bin scorewire --bin scorewire-worker
	./scripts/up.sh target/release/scorewire target/release/scorewire-worker

check: ## Type-check everything
	cargo check --workspace --all-targets

lint: ## Formatting, clippy and documentation, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

test: ## All tests; installs the Chromium, Redis, PostgreSQL, nginx and docker-compose they start if missing
	./scripts/install-test-tools.sh
	cargo test --workspace
	# --workspace: with the features of the run before, so that nothing is built again.
	SCOREWIRE_TEST_DEPLOYMENT=distributed cargo test --workspace --test scorewire -- api:: live:: feeds:: replay:: browser::
	@if [ -z "$${SCOREWIRE_MATCH_DATA:-}" ]; then \
		echo "1 skipped: set SCOREWIRE_MATCH_DATA to a StatsBomb event file to replay a recorded match"; \
	fi

# Apart from `make test`, which needs neither Python nor Node; SCOREWIRE_CLIENTS is the folder that the tests start them from.
clients: ## Follow a server with Python's and Node's libraries and with web/scorewire.js (installs them into target/clients)
	./scripts/install-clients.sh target/clients
	node --test web/tests/*.test.mjs
	SCOREWIRE_CLIENTS=$(CURDIR)/target/clients cargo test --workspace --test scorewire clients:: -- --ignored

# SCOREWIRE_FAULT_SEEDS=3..5 runs other seeds than the twenty, SCOREWIRE_FAULT_FSYNC=everysec another Redis.
faults: ## The experiments of docs/RELIABILITY.md over a fleet of processes, at full counts (takes half an hour)
	./scripts/install-test-tools.sh
	SCOREWIRE_FAULTS=full cargo test --workspace --test scorewire -- fleet:: faults::churn live::slow --nocapture --test-threads=1

audit: ## Licences, bans and unused dependencies (compiles its tools first, which takes minutes)
	cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	cargo machete --version >/dev/null 2>&1 || cargo install --locked cargo-machete
	cargo deny check bans licenses sources
	cargo machete

bench: ## Measure throughput and latency beside their floors; writes docs/BENCHMARKS.md
	./scripts/install-test-tools.sh
	cargo build --release --package scorewire --package scorewire-workers --package scorewire-bench
	target/release/scorewire-bench all --server target/release/scorewire --worker target/release/scorewire-worker \
		--report docs/BENCHMARKS.md
