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

test: env  ## all tests
	$(BIN)/python -m pytest -n 2 -m "not faults and not browser and not display and not client" tests
	$(BIN)/python -m pytest -m "not faults and (browser or display or client)" tests

quick:  ## what every commit must pass: lint, types, layers, fast tests
	$(BIN)/ruff check -q .
	$(BIN)/ruff format -q --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo | tail -12
	$(BIN)/python -m pytest -x tests/architecture tests/kernel tests/surfaces tests/features/messages

lint: env  ## ruff, mypy, import-linter
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

.PHONY: help env up demo test quick lint
