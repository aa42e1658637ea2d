# Python 3.11 or newer, git and make are all that is needed; the rest is installed into .venv.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo run test lint screenshots clean

demo: .venv/.installed
	DATABASE_URL=sqlite:///.demo/chatproxy.db $(BIN)/chatproxy --demo

run: .venv/.installed
	$(BIN)/chatproxy

# The whole suite has a coverage limit (setup.cfg); `make test T=tests/test_config.py` runs a part without it.
test: .venv/.tested tests/js/node_modules
	$(BIN)/python -m pytest $(or $(T),--cov)

lint: .venv/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The README's pictures of the page.
screenshots: .venv/.tested
	$(BIN)/python docs/screenshots.py

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

# Without npm, the tests that need these are skipped.
tests/js/node_modules: tests/js/package.json
	! command -v npm >/dev/null || npm install --silent --no-audit --no-fund --no-package-lock --prefix tests/js
	! test -d $@ || touch $@
