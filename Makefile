# Python 3.11 or newer, git and make are all that is needed; the rest is installed into .venv.

PYTHON ?= python3
BIN := .venv/bin
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo -n)

.PHONY: demo run test lint screenshots bench faults clean

demo: .venv/.installed
	DATABASE_URL=sqlite:///.demo/chatproxy.db $(BIN)/chatproxy --demo

run: .venv/.installed
	$(BIN)/chatproxy

# The whole suite runs on all cores and has a coverage limit (setup.cfg); `make test T=tests/unit/test_config.py` runs a
# part on one, without it.
test: .venv/.tested tests/js/node_modules
	$(BIN)/python -m pytest $(or $(T),--cov --numprocesses=auto --dist=worksteal)

lint: .venv/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The README's pictures of the page.
screenshots: .venv/.tested
	$(BIN)/python docs/screenshots.py

# Beside nginx, Flask, FastAPI and plain aiohttp, in at most 8 minutes; the tables go into BENCHMARKS.md.
bench: .venv/.benched
	command -v nginx >/dev/null || ! command -v apt-get >/dev/null || { $(AS_ROOT) apt-get update -qq && \
		$(AS_ROOT) apt-get install -qq -y --no-install-recommends nginx-light; } || echo "nginx is left out"
	$(BIN)/python -m benchmarks.run

# Kills, cuts, fills, locks, in at most 10 minutes; the table goes into BENCHMARKS.md.
faults: .venv/.tested
	command -v faketime >/dev/null || ! command -v apt-get >/dev/null || { $(AS_ROOT) apt-get update -qq && \
		$(AS_ROOT) apt-get install -qq -y --no-install-recommends faketime; }
	PYTHONPATH=tests/support $(BIN)/python -m faults

clean:
	rm -rf .venv .demo build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/js/node_modules

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/.installed: setup.cfg pyproject.toml build_backend.py chatproxy/static/package.json | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/.tested: setup.cfg pyproject.toml build_backend.py chatproxy/static/package.json | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ .venv/.installed

.venv/.benched: setup.cfg pyproject.toml build_backend.py chatproxy/static/package.json | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $@ .venv/.installed

# Without npm, the tests that need these are skipped.
tests/js/node_modules: tests/js/package.json
	! command -v npm >/dev/null || npm install --silent --no-audit --no-fund --no-package-lock --prefix tests/js
	! test -d $@ || touch $@
