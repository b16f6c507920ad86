# Two commands: `make demo` and `make test`. README.md names the equivalents without make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-clock test-versions bench check fix docs permissions screenshots lock clean
.DELETE_ON_ERROR:

demo: .venv/ready
	@$(BIN)/entraclaw-setup demo

test: .venv/ready check
	@sh tests/real/services.sh
	$(BIN)/pytest -n 4 --dist worksteal

# the tests on another day: CLOCK=+7d or CLOCK='2027-01-31 23:59:30', in the time zone TZ; PART=whole for all of them
CLOCK ?= +365d
PART ?= fast
test-clock: .venv/ready
	@sh tests/real/services.sh
	@$(BIN)/python -m tests.shift "$(CLOCK)" $(PART)

# unit, contract and cli tests on every Python from 3.11 on that is installed (tests/versions.py tells where it looks)
test-versions:
	@$(PYTHON) -m tests.versions

# the table of docs/explanation/performance.md; about five minutes
bench: .venv/ready
	@sh tests/real/services.sh
	@$(BIN)/python -m tests.bench

check: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fix: .venv/ready
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# docs/reference/errors.md, from the tables of errors and codes
docs: .venv/ready
	$(BIN)/python docs/generate.py

# docs/reference/permissions.md, from runs on the sandbox; about a minute and a half
permissions: .venv/ready
	@$(BIN)/python -m tests.permissions

# pictures of every screen, and a moving one of a recorded migration, from the sandbox; a test compares them
screenshots: .venv/ready
	@$(BIN)/python -m tests.tui.pictures

# Needs uv. Hashes, and no index address, so that any mirror serves. What users install (run.txt) has the versions
# that the tests run with (dev.txt).
lock:
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header \
	  --extra sandbox --group dev pyproject.toml -o requirements/dev.txt
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header \
	  --extra sandbox -c requirements/dev.txt pyproject.toml -o requirements/run.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  requirements/clients.in -o requirements/clients.txt

.venv/ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	@echo "Preparing .venv (once, about a minute) …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf .venv .versions .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
