# Thin wrappers: everything here works with pip and beeline alone, as the README shows.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
RUN := runs/digits
# The tests start hundreds of commands; without kept bytecode each of them would compile the library again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all bench clean

demo: $(VENV)/core
	$(BIN)/beeline train digits --out $(RUN) --resume

test: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto

test-all: $(VENV)/dev
	$(BIN)/pytest -n auto -m "not gpu"

bench: $(VENV)/dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist src/*.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/core: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@ $(VENV)/core
