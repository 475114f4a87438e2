# What a person or a CI job runs. Everything is built with one profile (release), so that demo, tests and benchmarks share
# the compiled dependencies; those take some minutes the first time.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test bench lint guests setup

CARGO ?= cargo
# Arguments of `millrace demo`, for example: make demo ARGS='--rows 5000 --seed 7'
ARGS ?=
# The tests kill the gateway at named places, which are compiled in with this feature only.
FAILPOINTS := --features millrace/failpoints
# `cargo test` puts the gateway there (it has integration tests) before it runs any test; named, so that nothing builds it again
# with another choice of features.
PROGRAM := $(abspath $(or $(CARGO_TARGET_DIR),target))/release/millrace

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

demo: ## stream a small shop's orders from a simulated GaussDB (or ARGS=--postgres) through the Wasm modules to an embedded broker
	@.ci/packages.sh $(if $(findstring --postgres,$(ARGS)),,build)
	@$(CARGO) build --release -p millrace
	@exec $(CARGO) run --release --quiet -p millrace -- demo $(ARGS)

test: setup ## every test, with a real PostgreSQL and a real Apache Kafka on loopback
	tests/setup.sh
	.ci/prebuilt.sh
	guest-sdk/build.sh
	MILLRACE_BIN=$(PROGRAM) $(CARGO) test --release --workspace --no-fail-fast $(FAILPOINTS)

bench: setup ## a backlog of a million changes: pg_recvlogical, then the gateway; then a simulated GaussDB with 1, 2 and 4 shards; writes target/bench
	tests/setup.sh
	$(CARGO) build --release -p millrace
	$(CARGO) run --release --quiet -p millrace-tests --bin millrace-bench
	$(CARGO) run --release --quiet -p millrace-tests --bin millrace-bench -- --shards 1000000

lint: setup ## formatting, clippy, licences and sources of dependencies, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets $(FAILPOINTS) -- -D warnings
	.ci/cargo-deny.sh --log-level error check --hide-inclusion-graph licenses bans sources
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --release --workspace --no-deps --quiet

guests: setup ## build the default modules into transforms/prebuilt (fetches a Wasm toolchain when there is none)
	guest-sdk/build.sh

setup: ## install missing Debian packages (as root or with sudo); quick when none is missing
	@.ci/packages.sh
