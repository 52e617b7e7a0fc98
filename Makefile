# Every target sets up what it needs in .venv; a second call installs nothing. `make` alone lists the targets.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/core.installed
DEV := $(VENV)/dev.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-slow check bench

help:
	@echo "make demo    the whole method in minutes: tables here, the page in runs/demo/report.html"
	@echo "make test    the default tests"
	@echo "make test-slow  the tests that take long: Ray, killed processes"
	@echo "make check   ruff and mypy --strict"
	@echo "make bench   speed and memory, side by side"
	@echo "make setup   only install, with everything that tests and checks need"
	@echo
	@echo "ARGS go to the command: make demo ARGS='--budget quick', make test ARGS='tests/objectives -x'"
	@echo "PYTHON is the Python (3.11 or newer) that .venv is made of: make setup PYTHON=python3.12"

setup: $(DEV)
	@:

demo: $(CORE)
	@$(BIN)/tripletclip demo $(ARGS)

test: $(DEV)
	@$(BIN)/python -m pytest $(ARGS)

test-slow: $(DEV)
	@$(BIN)/python -m pytest -m slow $(ARGS)

check: $(DEV)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy --strict src tests

bench: $(DEV)
	@$(BIN)/python benchmarks/speed.py $(ARGS)
	@$(BIN)/python benchmarks/render.py
	@$(BIN)/python benchmarks/making.py
	@$(BIN)/python benchmarks/captions.py
	@$(BIN)/python benchmarks/prefix.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "tripletclip needs Python 3.11 or newer and '$(PYTHON)' is not; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu install the package python3-venv" >&2; exit 1; }

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing tripletclip into $(VENV); PyTorch is large, so the first time takes some minutes."
	@$(PIP) --quiet --editable .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing tripletclip with its tests and checks into $(VENV); the first time takes some minutes."
	@$(PIP) --quiet --editable '.[dev]'
	@touch $(CORE) $@
