# Python 3.11 or newer, git and make are all that is needed; the rest is installed into .venv.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo run test lint clean

demo: .venv/.installed
	DATABASE_URL=sqlite:///.demo/chatproxy.db $(BIN)/chatproxy --demo

run: .venv/.installed
	$(BIN)/chatproxy

# The whole suite has a coverage limit (setup.cfg); `make test T=tests/test_config.py` runs a part without it.
test: .venv/.tested
	$(BIN)/python -m pytest $(or $(T),--cov)

lint: .venv/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .demo build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/.installed: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/.tested: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ .venv/.installed
