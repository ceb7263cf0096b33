# Everything runs in .venv, which is made here. Needs python3 >= 3.11 and a package index.
#
#   make demo    an edge, a connector and applications on this machine (DEMO_PORT=8443)
#   make test    all tests; ONLY="tests.tunnel tests.cli" for some of them
#   make lint    style, types, layers
#   make bench   all measurements, into docs/performance.md: about five minutes
#   make bench-quick    only the ratio to two bare nginx: less than a minute
#   make clean   removes everything that was made here

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-quick clean

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/installed-demo
	@exec $(RUN)/python -m appproxy.demo

test: $(VENV)/installed-test
	@$(RUN)/python -m tests.prepare
	@$(RUN)/python -m tests $(ONLY)

lint: $(VENV)/installed-lint
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

bench: $(VENV)/installed-bench
	@$(RUN)/python -m bench all

bench-quick: $(VENV)/installed-demo
	@$(RUN)/python -m bench quick

clean:
	rm -rf $(VENV) .demo .test build dist *.egg-info _trial_temp* .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name dropin.cache -delete

$(RUN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Python 3.11 or newer is needed: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo 'Debian: apt-get install python3-venv' >&2; exit 1; }

$(VENV)/installed-%: setup.cfg pyproject.toml | $(RUN)/python
	@echo 'installing into $(VENV): appproxy[$*]' >&2
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
