# Everything here works in a fresh clone on Debian or Ubuntu with Python 3.11+ and is quick the second time.
SHELL := /bin/bash
# The first that runs and is new enough: a name on the PATH may be a version manager's shim for nothing.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { command -v $$python; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPED := $(VENV)/.developed
BENCHED := $(VENV)/.benched
DATA ?= ../shared/data
PIP_LOG := $(VENV)/pip.log
# pip's whole account goes into a file; its end, which has the reason, is shown when it fails.
INSTALL = PIP_BUILD_CONSTRAINT=constraints.txt $(BIN)/pip install --disable-pip-version-check -c constraints.txt -e $(1) >$(PIP_LOG) 2>&1 || $(FAILED)
FAILED = { grep -E '^ *(ERROR|error)' $(PIP_LOG) | tail -n 8; tail -n 8 $(PIP_LOG); \
	echo "not installed: pip says why above ($(PIP_LOG) has all of it); it needs a network, or PIP_INDEX_URL of a package index"; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all mutants lint format bench-service bench-retrieval bench-model bench-conversation clean

help: ## show this list
	@sed -nE 's/^([a-z-]+):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name what; do printf '%-20s%s\n' "$$name" "$$what"; done

$(VENV)/bin/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer is needed; install it, or set PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) >/dev/null 2>&1 || { $(MAKE) --no-print-directory venv-package && "$(PYTHON)" -m venv --clear $(VENV); } \
		|| { rm -rf $(VENV); exit 1; } # without its pip it would pass for installed the next time
	@$(BIN)/python -m pip install --upgrade pip >$(PIP_LOG) 2>&1 || $(FAILED)

.PHONY: venv-package
venv-package:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; \
	else echo "Python's venv module is missing; install it with: sudo apt-get install python3-venv"; exit 1; fi

$(INSTALLED): pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing Cotorra into $(VENV) (about two minutes the first time)"
	@$(call INSTALL,.)
	@touch $@

$(DEVELOPED): $(INSTALLED)
	@echo "installing what the tests need"
	@$(call INSTALL,".[dev]")
	@touch $@

$(BENCHED): $(DEVELOPED)
	@$(call INSTALL,".[bench]")
	@touch $@

setup: $(INSTALLED) ## install Cotorra into .venv

run: $(INSTALLED) ## start the service (http://127.0.0.1:8080); MODEL=NAME or FOLDER writes the answers with a model
	@$(if $(MODEL),COTORRA_MODEL__KIND=transformers COTORRA_MODEL__NAME="$(MODEL)") exec $(BIN)/cotorra serve

.PHONY: servers
servers:
	@bash tests/install-servers.sh

# One thread a worker: torch's own would spin against those of the others. A given Redis server has 16 databases, one a worker.
PARALLEL := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 8

test: $(DEVELOPED) servers ## run the tests (minutes)
	@$(PARALLEL)

test-all: $(DEVELOPED) servers ## run the tests and the slow ones (long kill runs)
	@$(PARALLEL) -m "slow or not slow"

mutants: $(DEVELOPED) servers ## break the code by hand in many places and see a test fail for each (minutes); ONLY=WORD chooses some
	@$(BIN)/python -m tests.mutants $(ONLY)

lint: $(DEVELOPED) ## ruff, mypy strict, import directions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(DEVELOPED) ## put the code into its one form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench-service: $(BENCHED) servers ## measure the service against its peer; writes .bench/service.json
	@$(BIN)/python -m tests.benchmarks.service

bench-retrieval: $(BENCHED) ## measure retrieval against its peers on DATA=FOLDER; writes .bench/retrieval.json
	@$(BIN)/python -m tests.benchmarks.retrieval --data "$(DATA)"

bench-model: $(BENCHED) ## measure generation, adapters, grounding, injection and faults on DATA=FOLDER; writes .bench/model.json
	@$(BIN)/python -m tests.benchmarks.model --data "$(DATA)"

bench-conversation: $(BENCHED) ## play conversations with the bot on DATA=FOLDER; writes .bench/conversation.json
	@$(BIN)/python -m tests.benchmarks.conversation --data "$(DATA)"

clean: ## remove what was installed and built (not COTORRA_HOME)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
