# What is done with this repository. Needs Python 3.10 or newer; `check` and `generate` also Node.js.
# Everything is installed into .venv, in the versions of constraints.txt; nothing else is touched.

VENV ?= .venv
PORT ?= 8080
BENCH ?= $(wildcard benchmarks/*.py)
# Rounds of each kind of fault.
ROUNDS ?= 1000
# Stretches of rounds at the same time: they wait most of the time.
JOBS ?= 3
# What the wire contract is compared with: the last release, or else the commit before.
BASE ?= $(shell git describe --tags --abbrev=0 2>/dev/null || git rev-parse --quiet --verify HEAD~1)

# $(call python,NAMES,LAST): the first of these interpreters from 3.10 to (not including) LAST.
python = $(shell for name in $(1); do \
  $$name -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < $(2))' 2>/dev/null \
  && command -v $$name && break; done)
PYTHON ?= $(call python,python3 python3.13 python3.12 python3.11 python3.10 python,(4,))
# The generator has no wheel for 3.13 (proto/requirements.txt says why it is old).
GENERATE_PYTHON ?= $(call python,python3 python3.12 python3.11 python3.10,(3$(comma) 13))
comma := ,

BIN := $(VENV)/bin
GENERATE := $(VENV)-generate
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# What the dashboard is built from: a change builds it again.
WEB := $(shell find web proto -type f \
  -not -path '*/node_modules/*' -not -path '*/.next/*' -not -path 'web/out/*' \
  -not -name next-env.d.ts -not -name '*.tsbuildinfo' -not -name '*.md')
PLUGINS := $(patsubst %/pyproject.toml,./%,$(wildcard plugins/*/pyproject.toml))
PACKAGES := pyproject.toml core/trainmon.pth gateway/pyproject.toml \
  $(wildcard gateway/hatch_build.py) $(PLUGINS:./%=%/pyproject.toml)

.DELETE_ON_ERROR:
.PHONY: help demo test test-pythons torture frameworks check bench generate

help: ## say what can be made (this)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## train a small network and watch it in the browser (PORT=8080)
	@$(BIN)/trainmon demo --port $(PORT) || { status=$$?; \
	  echo 'The demo ended with an error. If its port is taken: make demo PORT=8081' >&2; exit $$status; }

test: $(VENV)/.tools ## run the tests (ARGS="tests/core -x" to choose)
	$(BIN)/python -m pytest $(ARGS)

frameworks: $(VENV)/.frameworks ## install Lightning, Keras, transformers and more: plugins are tested with them

test-pythons: $(VENV)/.tools ## try the wheels on every Python from 3.10 to 3.14 on this machine
	TRAINMON_PYTHONS=all $(BIN)/python -m pytest tests/packaging/test_wheels.py $(ARGS)

torture: $(VENV)/.tools ## kill everything at random moments, and write docs/losses.md (ROUNDS=1000, JOBS=3; KINDS=relay,... writes nothing)
	PYTHONPATH=tests/support $(BIN)/python -m kills --rounds $(ROUNDS) --jobs $(JOBS) \
	  --record build/kills.jsonl $(if $(KINDS),--kinds $(KINDS),--report docs/losses.md) $(ARGS)

check: $(VENV)/.tools $(GENERATE)/.tools web/node_modules/.package-lock.json ## lint, types, contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(GENERATE)/bin/python proto/generate.py --check
	cd proto && ../web/node_modules/.bin/buf lint
	@if [ -n "$(BASE)" ]; then set -x; \
	  web/node_modules/.bin/buf breaking proto --against '.git#ref=$(BASE),subdir=proto'; \
	else echo 'buf breaking: skipped, there is no earlier commit to compare with'; fi
	cd web && npm run --silent lint
	cd web && npm run --silent typecheck
	cd web && npm test --silent

bench: $(VENV)/.tools ## run the benchmarks, and write docs/benchmarks.md (BENCH=benchmarks/x.py for one)
	@failed=; for each in $(BENCH); do echo "== $$each"; \
	  BENCH_REPORT=docs/benchmarks.md $(BIN)/python $$each || failed="$$failed $$each"; done; \
	test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

generate: $(GENERATE)/.tools web/node_modules/.package-lock.json ## write the code that proto/ describes
	$(GENERATE)/bin/python proto/generate.py

# --- what the above need -------------------------------------------------------------------------

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'trainmon needs Python 3.10 or newer, and none is on the path.' \
	  'Install one, or name it: make PYTHON=/path/to/python3' >&2; exit 1; }
	@'$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null || { echo '$(PYTHON) has no venv and pip.' \
	  'On Debian and Ubuntu: apt install python3-venv; or name another: make PYTHON=...' >&2; exit 1; }
	'$(PYTHON)' -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python $(PACKAGES) constraints.txt $(WEB)
	@echo 'Installing trainmon and building its dashboard (a minute or two, the first time) ...'
	@$(INSTALL) pip
	@$(INSTALL) --build-constraint constraints.txt --editable '.[demo]' --editable ./gateway \
	  $(PLUGINS:%=--editable %)
	@touch $@

$(VENV)/.tools: $(VENV)/.installed
	@$(INSTALL) --group dev
	@touch $@

$(VENV)/.frameworks: $(VENV)/.tools constraints.txt
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'The tested' \
	  'versions of the frameworks need Python 3.11 or newer: make frameworks VENV=.venv-frameworks' \
	  'PYTHON=/path/to/python3.11' >&2; exit 1; }
	@echo 'Installing the frameworks (a gigabyte or more) ...'
	@$(INSTALL) --group frameworks
	@touch $@

$(GENERATE)/.tools: proto/requirements.txt
	@test -n '$(GENERATE_PYTHON)' || { echo 'The code generator needs Python 3.10, 3.11 or 3.12' \
	  '(see proto/requirements.txt), and none is on the path.' >&2; exit 1; }
	'$(GENERATE_PYTHON)' -m venv $(GENERATE)
	@$(GENERATE)/bin/python -m pip install --quiet --disable-pip-version-check -r proto/requirements.txt
	@touch $@

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	@command -v npm >/dev/null || { echo 'This needs Node.js 20.9 or newer, with npm, on the path.' \
	  '(make demo and make test do without.)' >&2; exit 1; }
	cd web && npm ci
	@touch $@
