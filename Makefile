# What a newcomer, a developer and CI run. `make help` lists it.

MINICLOUD := devstack/minicloud
export MINICLOUD_DIR ?= /var/lib/minicloud

.PHONY: help demo build test nextest faces lint services services-down tools bench

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## the whole service in one process: a scheduled backup and its restore
	cargo run --release -- demo

build: ## all programs, with MySQL (needs libmariadb-dev), under target/release
	cargo build --release --features mysql

test: tools ## every test against real services (root): starts them, stops what it started
	$(MINICLOUD)/run-tests $(MAKE) --no-print-directory nextest faces

nextest: ## the tests alone; the services must be up (make services)
	cargo build --workspace --all-features
	cargo nextest run --workspace --all-features

faces: export FREEZER_BIN ?= $(abspath $(or $(CARGO_TARGET_DIR),target)/debug)
faces: ## alert rules, and the plugins for the openstack command, tempest and Horizon, on the development build (make services first)
	$(MINICLOUD)/up horizon freezer
	packaging/run-tests
	osc-plugin/run-tests
	tempest-tests/run-tests
	horizon-plugin/run-tests

services: ## start Keystone, Swift, Glance, Cinder, Nova and what they need on this machine (root)
	$(MINICLOUD)/up base glance cinder nova ssh test

services-down: ## stop them; their data stay under $(MINICLOUD_DIR)
	$(MINICLOUD)/down

tools:
	@command -v cargo-nextest > /dev/null || cargo install --locked cargo-nextest

lint: ## format and clippy, warnings refused
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings

bench: ## this service beside tar, zstd and upstream's agent: ratios (takes minutes)
	bench/run
