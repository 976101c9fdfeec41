# `make demo` and `make test` set up .venv from the lock file; nothing else is needed but Python
# 3.11 to 3.13. PYTHON names another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 3

.PHONY: help install demo torture test lint check-types check-imports unit lock clean

help:
	@echo "make demo     run the whole job on rendered images and say where the report is"
	@echo "make test     linters, type checker, import contracts and tests"
	@echo "make torture  kill, interrupt and corrupt runs: two or three hours"
	@echo "make lock     write requirements.lock anew from pyproject.toml"
	@echo "make clean    remove .venv and caches (never checkpoints or data)"

install: $(READY)

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c "import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); \
	sys.exit(0 if ok else 'Python 3.11, 3.12 or 3.13 is needed, ' + sys.version.split()[0] + \
	' was found: make PYTHON=python3.12 ' + '...')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation -e .
	@touch $(READY)

demo: install
	$(BIN)/kvasir-prune run configs/demo.yaml

torture: install
	$(BIN)/python scripts/torture.py --seed 2020

test: lint check-types check-imports unit

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check-types: install
	$(BIN)/mypy

check-imports: install
	$(BIN)/lint-imports

unit: install
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 10

lock:
	$(PYTHON) scripts/lock.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
