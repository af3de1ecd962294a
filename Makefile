# Each target sets up what it needs, from nothing but Python 3.11 or newer and make; the second time that costs nothing.
#
#   make up       the whole stack in the foreground, until Ctrl-C (PORT, OFFERHUB_HOME: see README)
#   make test     the tests, with services of their own
#   make chaos    every fault at every step, long walks and fuzzes, for more than an hour
#   make check    ruff, mypy --strict, import-linter, architecture tests
#   make reset    forget the stack's state
#   make bench    the load script
#   make docs     write the pages that are made from code (BREAKING=accepted: also when the API breaks its clients)
#   make lock     resolve the dependencies again

CANDIDATES := python3.11 python3.12 python3.13 python3.14 python3
# $(PYTHON) wins; else the first that runs and is new enough.
FIND_PYTHON := for python in "$(PYTHON)" $(CANDIDATES); do \
	[ -n "$$python" ] && "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && exec "$$python" "$$@"; \
	done; echo "set-up: needs Python 3.11 or newer; none of $(PYTHON) $(CANDIDATES) is (PYTHON=... names another)" >&2; exit 1
VENV := .venv/bin

.PHONY: up test check reset bench docs lock
.DEFAULT_GOAL := up
MAKEFLAGS += --no-print-directory --no-builtin-rules

up: .venv/.stamp-runtime
	@exec $(VENV)/python -m devstack up --stop-with-parent

test: .venv/.stamp-dev
	@$(VENV)/python -m pytest -q -m "not slow and not endurance"

chaos: .venv/.stamp-dev
	@$(VENV)/python -m pytest -q -m "slow or endurance"
	@$(VENV)/python -m pytest -q -m "hypothesis and not slow and not endurance" --hypothesis-profile=search

check: .venv/.stamp-dev
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy .
	$(VENV)/lint-imports
	$(VENV)/python -m pytest -q tests/architecture

reset: .venv/.stamp-runtime
	@$(VENV)/python -m devstack reset

bench: .venv/.stamp-runtime
	@exec $(VENV)/python -m bench

docs: .venv/.stamp-runtime
	@$(VENV)/python -m docs.generate $(if $(filter accepted,$(BREAKING)),--accept-breaking-changes)

# Hashes for every platform, no address of any package index.
COMPILE := .tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock: .venv/.stamp-dev
	$(COMPILE) pyproject.toml --extra embedded --extra dev --output-file requirements-dev.lock
	$(COMPILE) pyproject.toml --extra embedded --constraint requirements-dev.lock --output-file requirements.lock
	echo "uv>=0.9" | $(COMPILE) - --output-file requirements-tools.lock

.venv/.stamp-runtime: requirements.lock requirements-tools.lock
	@set -- devstack/setup.py runtime; $(FIND_PYTHON)

.venv/.stamp-dev: requirements-dev.lock requirements-tools.lock
	@set -- devstack/setup.py dev; $(FIND_PYTHON)
