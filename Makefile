# Everything runs in .venv, which is made here. Needs python3 >= 3.11 and a package index.
#
#   make demo    an edge, a connector and applications on this machine (DEMO_PORT=8443)
#   make test    all tests; ONLY="tests.tunnel tests.cli" for some of them
#   make compiled  the hot path compiled beside its sources, for benchmarks; editing these then does nothing
#   make lint    style, types, layers
#   make clean   removes everything that was made here

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
UNCOMPILE := find . -maxdepth 4 -name '*.so' -not -path './.*' -not -path './build/*' -delete

.DEFAULT_GOAL := help
.PHONY: help demo test compiled lint clean

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/installed-demo
	@exec $(RUN)/python -m appproxy.demo

test: $(VENV)/installed-test
	@$(RUN)/python -m tests.prepare
	@$(RUN)/python -m tests $(if $(ONLY),$(ONLY),--both)

compiled: $(VENV)/installed-test
	@$(UNCOMPILE)
	@APPPROXY_COMPILE=1 $(RUN)/python setup.py --quiet build_ext --inplace
	@$(RUN)/appproxy version

lint: $(VENV)/installed-lint
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/mypy --config-file compiled.ini
	$(RUN)/lint-imports

clean:
	$(UNCOMPILE)
	rm -rf $(VENV) .demo .test build dist *.egg-info _trial_temp* .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name dropin.cache -delete

$(RUN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Python 3.11 or newer is needed: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo 'Debian: apt-get install python3-venv' >&2; exit 1; }

$(VENV)/installed-%: setup.cfg setup.py pyproject.toml | $(RUN)/python
	@echo 'installing into $(VENV): appproxy[$*]' >&2
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
