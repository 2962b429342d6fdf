# One command for each habit; each sets itself up. `make help` lists them.
# Stamps carry a checksum of what they were made from, and lie in the folder
# they describe: nothing is installed again until a pin changes.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Both would change what cargo builds against, and so build it anew.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONPATH

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CARGO_BUILD := cargo build --locked --workspace --lib --bins --tests

checksum = $(firstword $(shell { $(2); cat $(1); } 2>&1 | cksum))
PYTHON_STAMP := $(VENV)/.requirements-$(call checksum,bindings-python/requirements-dev.txt,$(PYTHON) -V)
PACKAGE_STAMP := $(VENV)/.package-$(call checksum,bindings-python/pyproject.toml Cargo.toml bindings-python/requirements-dev.txt,$(PYTHON) -V)
BENCH_STAMP := $(VENV)-bench/.requirements-$(call checksum,benches/requirements.txt bindings-python/requirements-dev.txt,$(PYTHON) -V)
npm_stamp = $(1)/node_modules/.lock-$(call checksum,$(1)/package-lock.json,node -v)
NPM_FOLDERS := bindings-node tools $(patsubst %/package-lock.json,%,$(wildcard examples/*/package-lock.json benches/node/package-lock.json))
NPM_STAMPS := $(foreach folder,$(NPM_FOLDERS),$(call npm_stamp,$(folder)))

.PHONY: help demo serve test lint bench docs build clean setup servers \
	test-all test-tools test-rust test-python test-node test-examples \
	lint-rust lint-python lint-node lint-dependencies lint-text

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: build ## Watch a prompt answered although a key is out of quota
	@tools/demo.sh

serve: build ## Run the example service on this machine
	@tools/serve.sh

test: ## Lint, test everything, and look for secrets in the output
	@tools/run-and-grep.sh target/test-output.log $(MAKE) test-all

lint: lint-text lint-rust lint-dependencies lint-python lint-node ## Check formats, types, licences and texts

# ARGS='--json' or ARGS='--update-readme', for instance.
bench: setup servers $(BENCH_STAMP) ## Measure, side by side with peers, and print the table
	cargo build --locked --workspace --lib --bins --release
	cd benches/peers && cargo build --locked --release
	tools/link-bindings.sh release
	@$(PYTHON) benches/report.py $(ARGS)

docs: ## Build the documentation of the crates into target/doc
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps

build: setup ## Build the crates and put the bindings in place
	$(CARGO_BUILD)
	tools/link-bindings.sh debug

clean: ## Remove everything that the targets made
	cargo clean
	rm -rf $(VENV) $(VENV)-bench $(addsuffix /node_modules,$(NPM_FOLDERS))
	rm -rf bindings-node/dist bindings-node/native bindings-python/python/credential_rotation/_native.abi3.so

test-all: lint test-tools test-rust test-python test-node test-examples

test-tools:
	tools/test-tools.sh

test-rust: build servers
	REQUIRE_QWEN_CLI=1 REQUIRE_REDIS=1 cargo test --locked --workspace

test-python: build servers
	cd bindings-python && ../$(BIN)/python -m pytest

test-node: build servers
	cd bindings-node && npm test --silent

test-examples: build servers
	tools/test-examples.sh

lint-text:
	tools/check-text.sh

lint-rust:
	@tools/check-prerequisites.sh
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

lint-dependencies: $(PYTHON_STAMP)
	tools/check-dependencies.sh

# The stubs are held against the built module.
lint-python: build
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	cd bindings-python && ../$(BIN)/mypy && ../$(BIN)/python -m mypy.stubtest --allowlist stubtest-allow.txt credential_rotation

lint-node: build
	cd bindings-node && npm run --silent lint

setup: $(PYTHON_STAMP) $(PACKAGE_STAMP) $(NPM_STAMPS)
	@tools/check-prerequisites.sh

servers: $(PYTHON_STAMP)
	@tools/setup-redis.sh

$(PYTHON_STAMP):
	@tools/check-prerequisites.sh
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) -r bindings-python/requirements-dev.txt
	touch $@

# Installs the metadata and the programs once; from then on tools/link-bindings.sh
# puts a newer library in place of the one that maturin built.
$(PACKAGE_STAMP): | $(PYTHON_STAMP)
	cd bindings-python && VIRTUAL_ENV=$(CURDIR)/$(VENV) ../$(BIN)/maturin develop --locked --quiet
	rm -f $(VENV)/.package-* && touch $@

$(BENCH_STAMP):
	$(PYTHON) -m venv --clear $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check -r benches/requirements.txt
	touch $@

define npm_rule
$(call npm_stamp,$(1)):
	@tools/check-prerequisites.sh
	cd $(1) && npm $(if $(filter tools,$(1)),install --no-save,ci) --no-audit --no-fund --loglevel=error
	touch $$@
endef
# qwen-code names a clipboard module for systems that a registry may not hold;
# `npm ci` refuses a lock file without them, `npm install` takes what is locked.
$(foreach folder,$(NPM_FOLDERS),$(eval $(call npm_rule,$(folder))))
