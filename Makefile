# `make demo` and `make test` do all the set-up themselves: they need Python 3.11 (or newer) and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test test-all chaos mutants lint types format docs lock bench clean help

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/runtime.done  ## a payment closes a lead, with real processes, on this machine
	@$(BIN)/leadwire demo

test: $(VENV)/dev.done  ## the test suite, on SQLite and PostgreSQL
	@$(BIN)/python -m pytest -n 2 -m "not slow" $(ARGS)

test-all: $(VENV)/dev.done  ## with the long ones: kill -9 under load, many rounds
	@$(BIN)/python -m pytest $(ARGS)

chaos: $(VENV)/dev.done  ## kill -9 of anything under load, many rounds: make chaos ROUNDS=200 DATABASE=sqlite API=contacts
	@$(BIN)/python -m tests.acceptance.chaos --rounds $(or $(ROUNDS),20) --seed $(or $(SEED),1) \
		--database $(or $(DATABASE),sqlite) --api $(or $(API),leads-v1) --minutes $(or $(MINUTES),60)

mutants: $(VENV)/dev.done  ## change the code in one place after the other, and see whether a fast test notices (hours)
	@nice -n 10 $(BIN)/python -m tests.mutants $(if $(ONLY),--only $(ONLY))

lint: $(VENV)/dev.done  ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/dev.done  ## mypy, strict
	@$(BIN)/mypy

format: $(VENV)/dev.done  ## put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/dev.done  ## bring the parts of the docs that are made from the code up to date
	@$(BIN)/python -m tests.docs_tables

bench: $(VENV)/dev.done  ## all benchmarks; results go into docs/performance.md by hand
	@$(BIN)/python bench/run.py

lock:  ## pin the dependencies anew (needs uv)
	@uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml --group build -o requirements.txt
	@uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml --group build --group dev -o requirements-dev.txt

clean:  ## remove the environment and what runs left behind
	@rm -rf $(VENV) var .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@echo "Creating $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/runtime.done: requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing the pinned dependencies ..."
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.done: requirements-dev.txt $(VENV)/runtime.done
	@echo "Installing the pinned development tools ..."
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@
