# What a newcomer, a developer and CI run. `make help` lists it.

MINICLOUD := devstack/minicloud
export MINICLOUD_DIR ?= /var/lib/minicloud

.PHONY: help demo build test test-programs nextest faces lint services services-down tools soak figures figures-agent bench packages agent-static

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## the whole service in one process: a scheduled backup and its restore
	cargo run --release -- demo

build: ## all programs, with MySQL (needs libmariadb-dev), under target/release
	cargo build --release --features mysql

packages: build ## Debian packages of all parts, under target/packages (Debian 12; as root it installs what that takes)
	FREEZER_BIN=$(abspath $(or $(CARGO_TARGET_DIR),target)/release) packaging/build-debs $(or $(CARGO_TARGET_DIR),target)/packages

agent-static: ## the agent's programs without libraries, under target/x86_64-unknown-linux-musl/release (needs musl-tools)
	packaging/build-agent-static

test: tools ## every test against real services (root): starts them, stops what it started
	$(MINICLOUD)/run-tests --meanwhile "$(MAKE) --no-print-directory test-programs" $(MAKE) --no-print-directory nextest faces

# Programs are built with the tests, by the features that these ask of the dependencies: else both are built twice.
test-programs:
	cargo build --workspace --all-features --bins --tests

nextest: test-programs ## the tests alone; the services must be up (make services)
	cargo nextest run --workspace --all-features

# The longest first.
FACES := horizon-plugin tempest-tests heat-plugin osc-plugin packaging docs devstack

faces: export FREEZER_BIN ?= $(abspath $(or $(CARGO_TARGET_DIR),target)/debug)
faces: ## documents, packages, and the plugins for the openstack command, tempest, Horizon, Heat and DevStack, two at a time, on the development build (make services first)
	$(MINICLOUD)/up horizon freezer heat
	$(MAKE) --no-print-directory --keep-going --jobs 2 $(FACES:%=face-%)

# Each line of what they print says whose it is. They wait more than they work.
face-%: SHELL := /bin/bash
face-%: .SHELLFLAGS := -o pipefail -c
face-%:
	@env -u MAKEFLAGS -u MFLAGS $*/run-tests 2>&1 | sed -u 's/^/$*: /'

services: ## start Keystone, Swift, Glance, Cinder, Nova and what they need on this machine (root)
	$(MINICLOUD)/up base glance cinder nova heat barbican ssh ftp test

services-down: ## stop them; their data stay under $(MINICLOUD_DIR)
	$(MINICLOUD)/down

tools:
	@command -v cargo-nextest > /dev/null || cargo install --locked cargo-nextest

lint: ## format and clippy, warnings refused
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings

soak: ## kill conductors that hand out 10,000 jobs, 20 times over (half an hour; the services must be up)
	FREEZER_TEST_KILL_JOBS=10000 FREEZER_TEST_KILL_ROUNDS=20 FREEZER_TEST_KILL_SECONDS=5 \
		cargo test --release --package freezer-conductor --features mysql --test kill -- --nocapture --exact a_killed_conductor_loses_and_doubles_nothing

# What `make test` cannot judge, as nobody is quick beside all other tests. All are made; each says what it missed.
# Servers boot under emulation here: of a project's only those limits that have all their marks on two cores.
FIGURES := "$(MAKE) --no-print-directory soak" bench/outage bench/dispatch/run "bench/dispatch/run --crowd 10000" \
	"bench/api --million $(if $(UPSTREAM),--upstream $(UPSTREAM))" \
	". $(MINICLOUD_DIR)/openrc/demo; bench/image" "bench/project --parallel 2"

# The service in the cloud, of this build, for what is measured from outside.
FIGURES += "env FREEZER_BIN=$(abspath $(or $(CARGO_TARGET_DIR),target)/release) $(MINICLOUD)/up base freezer" bench/first_byte

figures: build ## the figures that must hold, judged one by one (two hours, idle machine; services must be up; UPSTREAM=VENV as in bench/api)
	cargo build --release --package freezer-vault --example image_chain
	@. $(MINICLOUD_DIR)/test.env; bench/durable bench/each $(if $(UPSTREAM),,-m "ratios to upstream's API: UPSTREAM is not set") $(FIGURES)

# Whole, and one thing at a time.
AGENT_FIGURES := bench/run "bench/run --unchanged 100000" "bench/run --many 1000000" "bench/run --sparse 100" \
	"bench/run --restore 4096" "bench/run --single-file 10240"

figures-agent: build ## the same of the agent alone, beside its peers (hours, 30 GiB of room; services must be up, restic and rustic on PATH)
	@. $(MINICLOUD_DIR)/openrc/demo; bench/each $(AGENT_FIGURES)

bench: ## this service beside tar, zstd and upstream's agent: ratios (takes minutes)
	bench/run
