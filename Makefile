# make demo: see it work.  make test: lint, types and tests.  make bench: measure how fast it is, on an idle machine, and
# write docs/performance.md's tables anew.  make detection DATA=FOLDER: measure what detects in the public data sets there,
# and write docs/results.md.  All install into .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINED := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
DEMO ?= demo
DATA ?= data

.PHONY: demo test lint types tests bench detection install clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed: make PYTHON=python3.x" if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time)"
	$(CONSTRAINED) torch==2.13.0
	$(CONSTRAINED) setuptools
	$(CONSTRAINED) --no-build-isolation --editable '.[browser,dev,latent,quantizers,search]'
	touch $@

demo: install
	$(BIN)/python tools/demo.py --out $(DEMO)

test: lint types tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

tests: install
	$(BIN)/python -m pytest -n 2

bench: install
	$(BIN)/python -m tools.benchmarks.training --out docs/results_training.json
	$(BIN)/python -m tools.benchmarks.augmentation --out docs/results_augmentation.json
	$(BIN)/python -m tools.benchmarks.inference --out docs/results_inference.json
	$(BIN)/python -m tools.benchmarks.inference --memory --out docs/results_inference_memory.json
	$(BIN)/python -m tools.benchmarks.startup --out docs/results_startup.json
	$(BIN)/python -m tools.benchmarks.precision --out docs/results_precision.json
	$(BIN)/python -m tools.benchmarks.scaling --out docs/results_scaling.json --figure docs/images/scaling.png
	$(BIN)/python -m tools.benchmarks.performance_tables

detection: install
	$(BIN)/python -m tools.benchmarks.detection --data $(DATA) --docs docs

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
