# Needs Python 3.11 or newer, make and a package index; everything else is installed
# into .venv, at the exact versions of constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n 2

.PHONY: demo test test-all oracles benchmark mutations faults docs wheel clean

demo: .venv/installed  ## The main job: a VAE and an auto-encoder side by side, a report
	$(BIN)/python -m experiments compare --workdir runs/demo
	@echo "The report lies in runs/demo/report.html"

test: .venv/installed  ## Lint, types, and every fast test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -m "not slow"

test-all: test  ## The slow tests too: devices, kills, mutations, a wheel
	$(PYTEST) -m slow

oracles: .venv/installed  ## The comparisons with PyTorch and numpyro; large downloads
	$(BIN)/pip install -q -c constraints.txt -e '.[peers]'
	$(PYTEST) -m oracle

benchmark: .venv/installed  ## Speed, interleaved with the peers where installed
	$(BIN)/python -m experiments benchmark mlp

mutations: .venv/installed  ## Seeded errors, each of which must turn a test red
	$(BIN)/python tests/mutations.py

faults: .venv/installed  ## Kills, damage and full disks; 10 to 40 minutes, goes on if stopped
	$(BIN)/python -m experiments faults

docs: .venv/installed  ## The reference, from the docstrings, in build/docs
	$(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	$(BIN)/pdoc --docformat google --math -o build/docs vaejax '!vaejax.data.builders'

wheel: .venv/installed
	$(BIN)/python -m build --wheel

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[experiments,dev]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info runs
