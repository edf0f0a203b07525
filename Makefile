# make demo   the whole loop on a small generated world, from nothing
# make test   every check: lint, format, types, import contract, tests
# make slow   the tests that take longer

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint types pytest slow clean

demo: $(VENV)/installed
	$(BIN)/lrat-sim demo

test: lint types pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(VENV)/installed-dev
	$(BIN)/mypy

# one thread a worker: two workers with two threads each only disturb one another
pytest slow: export OMP_NUM_THREADS := 1

pytest: $(VENV)/installed-dev
	$(BIN)/pytest -q -n 2 -m "not slow" --durations=10

slow: $(VENV)/installed-dev
	$(BIN)/pytest -q -m slow --durations=10

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lrat-sim needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

# a stamp a kind of installation, so that a second call goes straight to work
$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
