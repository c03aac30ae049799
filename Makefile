# Two commands set up everything on a fresh machine: `make sweep` and `make test`.
# The environment is .venv, made from the hash-pinned locks: by uv where it is installed, by pip otherwise.

PYTHON ?= python3
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
LOCKS := docker/locks
# The locks with CUDA: `make env GPU=cuda12`. Later commands keep the choice.
GPUS := $(filter cuda%,$(basename $(notdir $(wildcard $(LOCKS)/*.txt))))
GPU ?= $(shell cat .venv/.gpu 2>/dev/null)
ifneq ($(filter-out $(GPUS),$(GPU)),)
$(error GPU=$(GPU): no such lock; choose one of $(GPUS), or leave it out for the CPU)
endif
RUNS := .venv/.runs$(addprefix -,$(GPU))
EXTRAS := --extra cpu --extra data --extra wandb --extra parquet
COMPILE = uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.PHONY: help env sweep test quick check docs format lock lock-check clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(RUNS) ## Create .venv: what running needs, by hash; with GPU=cuda12 (or cuda13) for NVIDIA GPUs
sweep: $(RUNS) ## Run the quickstart sweep and print its table
	$(BIN)/launch sweep sweeps/quickstart.yaml

test: .venv/.develops ## Run the tests
	$(BIN)/pytest -n 5 --dist loadscope -m "not docs"

quick: .venv/.develops ## Run the tests that need no engine, no cluster and no long training
	$(BIN)/pytest -n 4 --dist loadscope -m "not engine and not cluster and not slow and not docs"

check: .venv/.develops ## Lint, types, import contracts, dead code, the image's recipe, locks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright --warnings
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/hadolint docker/Dockerfile
	$(BIN)/shellcheck --severity=warning .ci/run findings/*.sh $(wildcard slurm/*.sbatch)
	$(MAKE) --no-print-directory lock-check

docs: .venv/.develops ## Build the documentation in docs/_build; a warning is an error
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build
	$(BIN)/pytest -q -n 0 -m docs tests/test_docs.py

format: .venv/.develops ## Format the code
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

# $(1): make's own options for uv, $(2): the folder the locks are written to. What an image has beside the CPU's packages
# must not move those: every image computes with the same versions.
define compile
	PATH="$(CURDIR)/$(BIN):$$PATH"; \
	$(COMPILE) $(1) $(EXTRAS) -c $(LOCKS)/constraints.in pyproject.toml -o $(2)/cpu.txt; \
	$(COMPILE) $(1) $(EXTRAS) --extra cuda12 -c $(2)/cpu.txt pyproject.toml -o $(2)/cuda12.txt; \
	$(COMPILE) $(1) $(EXTRAS) --extra cuda13 -c $(2)/cpu.txt pyproject.toml -o $(2)/cuda13.txt; \
	$(COMPILE) $(1) $(EXTRAS) --extra dev -c $(2)/cpu.txt --override $(LOCKS)/override.in pyproject.toml -o $(2)/dev.txt; \
	$(COMPILE) $(1) $(LOCKS)/build.in -o $(2)/build.txt
endef

lock: .venv/.develops ## Refresh the locks to the newest versions that pyproject.toml allows
	@$(call compile,--upgrade,$(LOCKS))

# uv keeps the versions of an existing output file that still satisfy pyproject.toml, so a fresh lock comes out unchanged.
lock-check: .venv/.develops ## Fail where the locks no longer follow from pyproject.toml
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; cp $(LOCKS)/*.txt "$$fresh"; \
	$(call compile,,"$$fresh"); \
	strip() { sed '/^    # /d' "$$1"; }; \
	for name in cpu cuda12 cuda13 dev build; do \
	  diff -q <(strip $(LOCKS)/$$name.txt) <(strip "$$fresh/$$name.txt") >/dev/null \
	  || { echo "$(LOCKS)/$$name.txt does not follow from pyproject.toml; type: make lock" >&2; exit 1; }; done; \
	echo "locks follow from pyproject.toml"

clean: ## Remove the environment and the caches; runs and data stay
	rm -rf .venv build docs/_api docs/_build ./*.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# $(1): the lock to install. Two things keep the start-up of every command short: a static .pth (editable_mode=compat),
# and packages that are compiled now. pip does this by itself; where PYTHONDONTWRITEBYTECODE is set nothing else does.
define install
	@echo "installing $(1) (once; a minute with pip, seconds with uv)" >&2
	@if command -v uv >/dev/null; then \
	  uv pip install --compile-bytecode --python $(BIN)/python --no-deps --require-hashes -r $(1); \
	else \
	  $(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes -r $(1) \
	  | awk '/^Collecting / { printf "  %3d  %s\n", ++count, $$2 } /^Installing / { print "  installing them" } { fflush() }' >&2; \
	fi
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --config-settings editable_mode=compat -e .
	@$(BIN)/python -m compileall -q launch s5 # editable packages are not compiled by the installer
	@rm -rf build
	@touch $@
endef

$(RUNS): $(LOCKS)/$(or $(GPU),cpu).txt pyproject.toml | .venv/bin/python
	$(call install,$(LOCKS)/$(or $(GPU),cpu).txt)
	@$(if $(GPU),echo $(GPU) > .venv/.gpu)

.venv/.develops: $(LOCKS)/dev.txt pyproject.toml | .venv/bin/python
	$(call install,$(LOCKS)/dev.txt)
	@touch .venv/.runs
