# `make demo` shows HarmoVid at work, `make test` runs the tests, `make check` the linters and the type checker.
# All use one virtual environment (.venv). If it is missing, it is made from Python 3.11+ and the package index alone.
# The demo installs only the server and what draws pictures; `make test` and the like install the rest when first run.

# The first interpreter that really runs and is new enough (a pyenv shim may exist and still fail).
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	if $$p $(NEW_ENOUGH) >/dev/null 2>&1; then echo $$p; break; fi; done)
endif
BIN := .venv/bin
STAMP := .venv/.installed
DEMO_STAMP := .venv/.installed-demo
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
TENSORRT_STAMP := .venv/.installed-tensorrt
COMPILED := .venv/.compiled
TOY_BUNDLES := out/toy-bundles
DEMO_ARGS := $(if $(filter toy,$(ENGINE)),--bundles $(TOY_BUNDLES)) $(if $(PLATE),--plate $(PLATE)) $(if $(FG),--fg $(FG)) $(if $(BG),--bg $(BG)) $(if $(SERVER),--server $(SERVER))

.PHONY: help demo test test-tensorrt check format bench soak train-toy sbom clean

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

# Sizes as measured from an empty environment on Linux x86-64 with Python 3.11 (docs/demo.md).
.venv/bin/python:
	@$(PYTHON) $(NEW_ENOUGH) >/dev/null 2>&1 \
	  || { echo "HarmoVid needs Python 3.11 or newer, and none was found. Try: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv .venv

$(DEMO_STAMP): pyproject.toml constraints.txt | .venv/bin/python
	@echo "== Installing into .venv what the demo needs, once: downloads about 250 MB, takes about 760 MB of disk"
	@$(INSTALL) -e '.[demo]'
	@touch $@

$(STAMP): pyproject.toml constraints.txt | .venv/bin/python
	@echo "== Installing into .venv what tests, training and export need, once: downloads about 0.7 GB, takes about 2.9 GB"
	@echo "   of disk, where the package index offers torch for the CPU (2.13.0+cpu); else torch brings CUDA: 3 GB and 6.4 GB."
	@echo "   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test   chooses the small one."
	@$(INSTALL) -e '.[dev]'
	@touch $@ $(DEMO_STAMP)

$(TENSORRT_STAMP): $(STAMP)
	@echo "== Installing NVIDIA's TensorRT for RTX into .venv, once: downloads 95 MB, takes 234 MB of disk"
	@$(INSTALL) -e '.[tensorrt]'
	@touch $@

# A small job for each engine, so that no frame of the demo waits for the compiler.
$(COMPILED): $(if $(wildcard $(STAMP)),$(STAMP),$(DEMO_STAMP))
	@echo "== Compiling the server's loops, once: up to a minute"
	@$(BIN)/harmovid benchmark --engine deflicker --engine harmonize --size 540p --frames 2 --quiet > /dev/null
	@touch $@

demo: $(COMPILED) $(if $(filter toy,$(ENGINE)),$(TOY_BUNDLES)) ## render a shot, deflicker and harmonize it through a real server (PLATE=plate.####.exr for your own; ENGINE=toy uses diffusion models trained here)
	$(BIN)/python -m harmovid_demo --out out/demo $(DEMO_ARGS)

# The toy's one-step models as engine bundles; they are trained first if `make train-toy` has not run.
$(TOY_BUNDLES): $(STAMP)
	$(BIN)/python -m harmovid_export.toy --toy out/toy --out $@

test: $(STAMP) ## run every test (real sockets, real EXRs, real processes); ARGS="-k wire" narrows it, FRESH=1 draws new examples
	$(if $(FRESH),HARMOVID_TEST_PROFILE=fresh )$(BIN)/python -m pytest -n auto --maxprocesses 4 $(ARGS)

test-tensorrt: $(TENSORRT_STAMP) ## build TensorRT plans with NVIDIA's builder, also blocks of real width (no GPU needed; Linux, x86-64)
	HARMOVID_WIDTHS=all $(BIN)/python -m pytest tests/export/tensorrt $(ARGS)

check: $(STAMP) ## lint, format check, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## format the code and apply ruff's automatic fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## run the benchmarks, one after the other (minutes; on an otherwise idle machine)
	@for b in bench/*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

soak: $(STAMP) ## a server under mixed clients, kills, slow readers, damaged frames and garbage: nothing lost, memory constant (MINUTES=2)
	$(BIN)/python bench/soak.py --minutes $(or $(MINUTES),2)

train-toy: $(STAMP) ## the paper's whole recipe at toy size, from nothing to tables (CLIPS=, TEST_CLIPS= add indexes of real clips; TIMES=4 uses four times as many scenes and steps)
	$(BIN)/python -m harmovid_training.toy --out out/toy $(if $(CLIPS),--clips $(CLIPS)) $(if $(TEST_CLIPS),--test-clips $(TEST_CLIPS)) $(if $(TIMES),--times $(TIMES))

sbom: $(STAMP) ## write out/sbom.json, the components of a server (CycloneDX), and check that the packages' versions agree
	$(BIN)/python deploy/sbom.py $(or $(EXTRAS),server metrics dashboard) --out out/sbom.json
	$(BIN)/python -m pip check

clean: ## remove everything that make has made
	rm -rf .venv out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
