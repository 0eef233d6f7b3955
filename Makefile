# Two commands for a newcomer: `make demo` and `make test`.  Both set up all that they need.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(shell cat requirements.lock pyproject.toml | cksum | cut -d' ' -f1)

# Compiled tests are kept: to rewrite their assertions anew takes longer than to run them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-fast check fix bench chaos lock clean
.DEFAULT_GOAL := help

help:  ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: PYTHON=/path/to/python3 make ..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed, $$($(PYTHON) --version) was found: PYTHON=/path/to/python3.11 make ..."; exit 1; }
	@echo "Setting up $(VENV) (once; about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@rm -f $(VENV)/.ready-*
	@touch $@

demo: $(READY)  ## Break a small service and let Paramedic heal it (ANSWER=approve or deny: without a person)
	@$(BIN)/paramedic demo $(if $(ANSWER),--answer $(ANSWER))

# What is pure is covered whole by its own tests.  To trace all the others would make them half as slow again.
# Half of what those others do is to wait, so four share two cores.
PURE := tests/model tests/language tests/policy tests/engine

test: $(READY)  ## Run all tests
	@$(BIN)/pytest -q -n 2 --dist loadfile $(PURE) --cov --cov-report=term:skip-covered --cov-fail-under=100
	@$(BIN)/pytest -n 4 --dist loadfile $(PURE:%=--ignore=%)

test-fast: $(READY)  ## Run the tests that need no processes (under 10 s)
	@$(BIN)/pytest -q -m "not slow" -n 2 --dist loadfile

check: $(READY)  ## Format, lint, types, arrows, Dockerfile
	@$(BIN)/ruff format --check --quiet . || { echo "run: make fix"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@arrows=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$arrows"; exit 1; }
	@$(BIN)/hadolint Dockerfile

fix: $(READY)  ## Format, and mend what a machine can mend
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

bench: $(READY)  ## Measure beside a bare Temporal program (OUT=file.json writes the table)
	@$(BIN)/python -m bench $(if $(OUT),--out $(OUT))

chaos: $(READY)  ## Hurt a whole installation in every way, and judge it (LONG=1, SEED=number, OUT=file.json)
	@$(BIN)/python -m chaos $(if $(LONG),--long) $(if $(SEED),--seed $(SEED)) $(if $(TRIES),--tries $(TRIES)) $(if $(OUT),--out $(OUT))

lock: $(READY)  ## Resolve the dependencies anew; the lock names no index
	@$(BIN)/uv lock --quiet --upgrade
	@$(BIN)/uv export --quiet --locked --no-emit-project --all-groups --all-extras --no-header -o requirements.lock

clean:  ## Remove the environment and the demo's data
	rm -rf $(VENV) demo-data
