# Everything a contributor runs. `make` lists it.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

env: .venv/.ready  ## make the environment in .venv

.venv/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -e '.[dev]'
	touch $@

up: env  ## start the hub and print what to do next
	$(BIN)/mcp-bridge up

demo: env  ## three agents hold a conversation, live
	$(BIN)/mcp-bridge demo

test: env  ## all tests (a few minutes)
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 -m "not faults" tests

faults: env  ## long reliability tier
	$(BIN)/python -m pytest -m faults tests

extension:  ## pack the browser extension, the same bytes from the same files
	$(PYTHON) extension/pack.py dist

bench: env  ## benchmarks as ratios against references of the same run
	$(BIN)/python -m bench
	$(BIN)/python -m bench.reach

docs: env  ## generated reference pages
	$(BIN)/python -m mcp_bridge.reference

quick:  ## what every commit must pass: lint, types, layers, fast tests
	$(BIN)/ruff check -q .
	$(BIN)/ruff format -q --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo | tail -12
	$(BIN)/python -m pytest -x tests/architecture tests/kernel tests/surfaces tests/features/messages

lint: env  ## ruff, mypy, import-linter
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

.PHONY: help env up demo test faults bench docs quick lint extension
