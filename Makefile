# Each target makes the environment it needs, once: it is made anew only when what it is made from changes.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
SOURCES := recommender training serving
MADE_FROM := setup.cfg pyproject.toml constraints.txt

.PHONY: demo test test-slow test-processors lint bench docs notebooks
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	$(BIN)/recommender demo

test: $(VENV)/installed-test
	$(PYTEST) -m "not slow" --durations 20

test-slow: $(VENV)/installed-test
	$(PYTEST) -m slow --durations 20
	$(MAKE) --no-print-directory test-processors

# The tests of search with Annoy and OpenBLAS as other processors have them, with numba and without.
test-processors: $(VENV)/installed-test
	tests/processors.sh $(BIN)/python

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as a static site in site/; a warning is an error.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Runs the notebooks on a small shop and stores their outputs in them; takes a few minutes.
notebooks: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python notebooks/run.py

bench: $(VENV)/installed-test demo-shop/bundles/CURRENT
	$(BIN)/recommender benchmark architecture demo-shop/bundles
	$(BIN)/recommender benchmark serve demo-shop/bundles
	$(BIN)/recommender benchmark faults demo-shop/bundles
	$(BIN)/recommender benchmark retrieval --n 20000 --dim 128
	$(BIN)/recommender benchmark quality cold-start --config demo-shop/shop.toml --split 2026-06-01 --rolling 0
	$(BIN)/recommender benchmark quality neighbours --config demo-shop/shop.toml
	$(BIN)/recommender benchmark quality missing --config demo-shop/shop.toml --split 2026-06-01

requirements-serve.txt: deploy/requirements_serve.py setup.cfg constraints.txt $(VENV)/installed-test
	$(BIN)/python $< > $@

demo-shop/bundles/CURRENT:
	$(BIN)/recommender demo --no-serve

$(VENV)/installed: $(MADE_FROM)
	@command -v g++ >/dev/null || { echo "annoy is compiled: apt-get install g++ python3-dev" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@
