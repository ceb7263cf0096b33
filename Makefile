# Everything runs in .venv, which is made here. Needs python3 >= 3.11 and a package index.
#
#   make demo    an edge, a connector and applications on this machine (DEMO_PORT=8443)
#   make demo-kcd  the same with an Active Directory and an application that knows only Kerberos: root, Debian
#   make test    all tests; ONLY="tests.tunnel tests.cli" for some of them
#   make faults  kill -9 of each daemon under load, again and again (ROUNDS=200, SEED=1): half an hour
#   make soak    a mixed load, after which nothing may have grown (SECONDS=1800)
#   make load    14,000 connections of every kind at once, held and then gone (SECONDS=180)
#   make compiled  the hot path compiled beside its sources, for benchmarks; editing these then does nothing
#   make test-systemd  install, run, upgrade and remove it under a real systemd: root, Debian, ten minutes
#   make deb     a Debian package, into dist
#   make lint    style, types, layers
#   make bench   all measurements, into docs/performance.md: about seven minutes
#   make bench-quick    only the ratio to two bare nginx: less than a minute
#   make fuzz    the parsers against thought-up bytes: SECONDS=600 for each, ONLY="requests urls" for some of them
#   make clean   removes everything that was made here

# The system's Python first: it is built for speed, which others often are not (docs/performance.md).
PYTHON ?= $(shell for each in /usr/bin/python3 python3; do \
  $$each -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$each && exit; \
  done; echo python3)
VENV := .venv
RUN := $(VENV)/bin
UNCOMPILE := find . -maxdepth 4 -name '*.so' -not -path './.*' -not -path './build/*' -delete

.DEFAULT_GOAL := help
.PHONY: help demo demo-kcd test test-systemd deb faults soak load fuzz compiled lint bench bench-quick clean

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/installed-demo
	@exec $(RUN)/python -m appproxy.demo

demo-kcd: $(VENV)/installed-demo
	@$(RUN)/python -m appproxy.demo.active_directory.packages
	@$(MAKE) --silent $(VENV)/installed-kerberos
	@exec $(RUN)/python -m appproxy.demo --kerberos

test: $(VENV)/installed-test
	@$(RUN)/python -m tests.prepare
	@command -v krb5-config >/dev/null && command -v gcc >/dev/null && $(MAKE) --silent $(VENV)/installed-kerberos \
	  || echo 'without gssapi, which is built with libkrb5-dev and gcc: tests that need it are skipped' >&2
	@$(RUN)/python -m tests $(if $(ONLY),$(ONLY),--both)

ROUNDS ?= 200
SEED ?= 1
soak: SECONDS ?= 1800
load: SECONDS ?= 180
fuzz: SECONDS ?= 600

faults: $(VENV)/installed-test
	@APPPROXY_FAULT_ROUNDS=$(ROUNDS) APPPROXY_FAULT_SEED=$(SEED) $(RUN)/python -m tests tests.integration.test_faults_kill

soak: $(VENV)/installed-test
	@APPPROXY_SOAK_SECONDS=$(SECONDS) $(RUN)/python -m tests tests.integration.soak

load: $(VENV)/installed-test
	@APPPROXY_LOAD_SECONDS=$(SECONDS) $(RUN)/python -m tests tests.integration.load_run

test-systemd: $(VENV)/installed-test
	@$(RUN)/python -m tests.systemd

deb:
	@sh etc/deb

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

# What is measured is what an administrator installs: a package, compiled where there is a compiler.
BENCH := .bench/venv/bin/python
MEASURE := PYTHONPATH=.bench/lib $(BENCH) -P -m bench

bench: .bench/installed
	@test $$(id -u) -ne 0 || $(PYTHON) -m appproxy.demo.active_directory.packages || true
	@command -v krb5-config >/dev/null && command -v gcc >/dev/null && $(MAKE) --silent .bench/installed-kerberos \
	  || echo 'without gssapi, which is built with libkrb5-dev and gcc: Kerberos sign-on is not measured' >&2
	@$(MEASURE) all

bench-quick: .bench/installed
	@$(MEASURE) quick

fuzz: $(VENV)/installed-test
	@APPPROXY_INTERPRETED=1 $(RUN)/python -m tests.fuzz --seconds $(SECONDS) $(ONLY)

.bench/installed: setup.py setup.cfg pyproject.toml compiled.ini $(shell find appproxy twisted -name '*.py')
	@echo 'building what is measured into .bench' >&2
	@test -x $(BENCH) || $(PYTHON) -m venv .bench/venv
	@$(BENCH) -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps .
	@$(BENCH) -m pip install --quiet --disable-pip-version-check '.[bench]'
	@mkdir -p .bench/lib && ln -sfn ../../bench .bench/lib/bench
	@touch $@

# appproxy is there already: only what this adds to it is installed.
.bench/installed-kerberos: .bench/installed
	@$(BENCH) -m pip install --quiet --disable-pip-version-check 'appproxy[kerberos]'
	@touch $@

clean:
	$(UNCOMPILE)
	rm -rf $(VENV) .demo .test .fuzz .bench build dist *.egg-info _trial_temp* .mypy_cache .ruff_cache .hypothesis .import_linter_cache
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
