# Two commands matter: `make run` starts seenby, `make test` tests all of it.
# `make run` needs Python 3.11 (with venv) and make; `make test` installs what else it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JS := clients/js
PIP := $(BIN)/pip --disable-pip-version-check --quiet
PIP_COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --strip-extras \
	--generate-hashes --allow-unsafe \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

# Arguments for the programs behind run and test, such as: make test PYTEST_ARGS="-k kafka"
ARGS ?=
PYTEST_ARGS ?=
# Most of a test run is waiting for servers: three at a time, each with servers of its own, take a
# third of the time on two cores. Tests of one module or class stay together, and come in the order
# of the folders: the quick ones (unit) at the end, so that no long one runs on alone.
WORKERS ?= 3

.DEFAULT_GOAL := help
# What the servers' packages bring is needed to build mysqlclient: first things first, even with -j.
.NOTPARALLEL:
.PHONY: help run test setup setup-dev setup-js servers bench check lint fix docs dist lock clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' \
		| awk -F '|' '{ printf "  make %-10s %s\n", $$1, $$2 }'

run: setup ## Start API and gateway in one process, with an SQLite file
	$(BIN)/seenby serve $(ARGS)

# What one worker has compiled is read by the others, so it is written whatever the shell says.
test: servers setup-dev setup-js ## Install what the tests need, then run all of them
	$(BIN)/python -m tests.servers.kafka_archive
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(PYTEST_ARGS)

setup: $(VENV)/.setup ## Make .venv with the seenby command
setup-dev: $(VENV)/.setup-dev ## The same, with the tools for tests and checks
setup-js: $(JS)/node_modules/.installed vendor/node_modules/.installed ## What builds and tests the JavaScript

servers: ## Install the real servers the tests start (MariaDB, Kafka)
	scripts/install-test-servers

bench: servers setup-dev ## Measure everything there is a target for, in twelve minutes at most
	$(BIN)/python -m bench

check: lint ## Format, lint, types, layers and the quick tests: under a minute
	$(BIN)/pytest -q -n 2 tests/unit tests/property tests/test_docs.py tests/docs/test_code.py $(PYTEST_ARGS)

lint: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: setup-dev ## Format, and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The page of settings is written anew from the settings themselves. Not --quiet: mkdocs then counts
# no warnings, and strict finds nothing.
docs: setup-dev ## Build the documentation into site/
	$(BIN)/python scripts/settings_page.py > docs/settings.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The documentation begins at site/index.html"

dist: setup-dev setup-js ## Build the wheel and the npm package into dist/
	scripts/dist

# To be run with Python 3.11, the oldest one supported, so that nothing it needs is left out.
# pip-tools is fetched for this target only: nothing else needs it.
lock: setup-dev ## Pin the newest versions that pyproject.toml allows
	$(PIP) install pip-tools
	$(PIP_COMPILE) --upgrade --extra dev -o requirements-dev.txt pyproject.toml
	$(PIP_COMPILE) --constraint requirements-dev.txt -o requirements.txt pyproject.toml
	$(PIP_COMPILE) --upgrade --only-build-deps --build-deps-for editable \
		-o requirements-build.txt pyproject.toml

clean: ## Remove what make made here (the Kafka cache outside stays)
	rm -rf $(VENV) build dist site artefacts $(JS)/dist src/seenby.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache $(JS)/node_modules vendor/node_modules
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "seenby needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.setup: $(BIN)/python pyproject.toml requirements.txt requirements-build.txt
	@echo "Installing seenby into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements-build.txt -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.setup-dev: $(VENV)/.setup requirements-dev.txt
	@echo "Installing the tools for tests and checks ..."
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

# .venv's own Node and npm: a system's are often too old, or missing.
%/node_modules/.installed: %/package.json %/package-lock.json $(VENV)/.setup-dev
	@echo "Installing the packages of $* ..."
	@cd $* && PATH="$(abspath $(BIN)):$$PATH" npm ci --silent --no-audit --no-fund
	@touch $@
