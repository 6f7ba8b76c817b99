# From a clone to everything else, on a machine with python3 (its venv and pip) and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# Two processes, also where there are more cores: the tests of both start servers. Those that do nothing but calculate
# are dealt out one by one; of the others each file goes to one process, which starts the servers for it once.
CALCULATING := tests/unit tests/properties tests/protocol tests/simulation

.DEFAULT_GOAL := help
.PHONY: help demo test check properties simulate faults bench bench-full format clean servers

help:  ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.library  ## run examples/order_saga.py with the library alone: no servers needed
	$(BIN)/python examples/order_saga.py

test: $(VENV)/.development servers  ## run all tests and check the coverage (ARGS="-k name" for pytest)
ifeq ($(ARGS),)
	$(BIN)/python -m pytest --cov --cov-report= --numprocesses 2 $(CALCULATING)
	$(BIN)/python -m pytest --cov --cov-report= --cov-append --numprocesses 2 --dist loadfile \
		$(addprefix --ignore=,$(CALCULATING))
else
	$(BIN)/python -m pytest --cov --cov-report= $(ARGS)
endif
	$(BIN)/python -m coverage report --include='sagaflow/core/*' --fail-under=100
	$(BIN)/python -m coverage report --fail-under=95

check: $(VENV)/.development  ## check style, formatting, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo

properties: $(VENV)/.development  ## generate thousands of runs, and explore all small sagas (about an hour)
	SAGAFLOW_PROFILE=long $(BIN)/python -m pytest -s tests/properties/test_decide.py \
		tests/properties/test_mutations.py tests/protocol/test_small_sagas.py $(ARGS)

simulate: $(VENV)/.development  ## run the engine in 10,000 simulated storms (ARGS="--runs 100000"; some minutes)
	$(BIN)/python -m tests.simulation $(ARGS)

faults: $(VENV)/.development servers  ## do harm to real processes and servers (ARGS="kill-one --times 3"; without it, lists how)
	$(BIN)/python -m tests.faults $(ARGS)

bench: $(VENV)/.benchmarks servers  ## measure beside bare scripts and other engines (nine minutes; ARGS="sagaflow celery" for these)
	$(BIN)/python -m benchmarks $(ARGS)

bench-full: $(VENV)/.benchmarks servers  ## all contestants, five rounds, a million sagas in the store (about an hour)
	$(BIN)/python -m benchmarks --full $(ARGS)

format: $(VENV)/.development  ## format the code and mend what can be mended by a tool
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## remove what the other targets made
	rm -rf $(VENV) .venv-bench build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache
	rm -rf .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

servers:
	@sh tools/install_servers.sh

# The stamps make the second run quick; a change of pyproject.toml installs anew.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.library: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.development: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.library

$(VENV)/.benchmarks: pyproject.toml $(VENV)/.development
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@
