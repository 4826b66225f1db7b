# Every command of the project; continuous integration runs the same ones. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-kernels fuzz lint bench queries clean

export PATH := $(HOME)/.cargo/bin:/usr/sbin:/sbin:$(PATH)
sudo := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=PATH)

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## install what building, testing and running needs (only what is missing)
	@scripts/setup test

build: ## build the release binary, target/release/slowburn
	@scripts/setup build
	SQLX_OFFLINE=true cargo build --release --bin slowburn

demo: build ## watch an incident happen and be handled, in about three minutes (DEMO="--keep" stays up)
	$(sudo) target/release/slowburn demo $(DEMO)

lint: ## format and clippy, warnings are errors
	@scripts/setup build
	cargo fmt --all --check
	SQLX_OFFLINE=true cargo clippy --workspace --all-targets -- -D warnings

test: setup lint ## every test, on this kernel, with a Postgres, servers and a browser of its own
	npm --prefix api/dashboard test
	SQLX_OFFLINE=true cargo build --workspace --tests --bins
	SQLX_OFFLINE=true $(sudo) scripts/with-postgres cargo test --workspace --no-fail-fast

test-kernels: ## the core of the probes' tests under Debian's kernels, emulated; writes README's table
	@scripts/setup kernels
	scripts/test-kernels

fuzz: ## fuzz what reads bytes off the wire, FUZZ_SECONDS (600) a target, and keep the corpus
	@scripts/setup fuzz
	scripts/fuzz

bench: setup ## the measured claims, each beside its peer
	SQLX_OFFLINE=true cargo build --release --benches --bin slowburn
	$(sudo) benches/run

queries: ## refresh .sqlx after a change of a query or of the schema
	@scripts/setup build
	scripts/with-postgres scripts/queries

clean: ## remove what was built
	cargo clean
	rm -rf api/dashboard/dist api/dashboard/node_modules
