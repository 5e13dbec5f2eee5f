# Two commands do all the set-up: `make up` makes this machine a working rig, `make test` runs every test.
# Both can be run again at any time; what is there is left as it is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The rig of the person at the keyboard, also under sudo.
RIG ?= $(shell getent passwd "$${SUDO_USER:-$$(id -un)}" | cut -d: -f6)/rig
# Keys that may log in, for the first `make up`: make up KEY=github:you
KEY ?=
# Where the caller's environment forbids bytecode, each of a thousand starts of Python would compile rigstack anew.
unexport PYTHONDONTWRITEBYTECODE
INIT_FLAGS := $(if $(KEY),--key "$(KEY)") $(if $(HOST),--hostname "$(HOST)")

.PHONY: up test unit integration e2e audit lint lock bench docs wheel clean help

help: ## What there is
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

up: $(VENV)/.installed ## Set this machine up and bring the rig in ~/rig (or RIG=DIR) up
	@$(BIN)/rigstack host setup --yes
	@test -f "$(RIG)/rig.toml" || $(BIN)/rigstack init "$(RIG)" $(INIT_FLAGS)
	@$(BIN)/rigstack --rig "$(RIG)" up

test: $(VENV)/.dev lint ## Everything: lint, unit, then the real engine and a browser
	@$(BIN)/rigstack host setup --yes
	@tests/install-needs
	tests/run $(PYTEST_FLAGS)

unit: $(VENV)/.dev ## Unit tests: no engine, no network, seconds
	$(BIN)/pytest tests/unit -q -n auto --maxprocesses 4

integration: $(VENV)/.dev ## Tests against the real engine
	$(BIN)/pytest tests/integration $(PYTEST_FLAGS)

e2e: $(VENV)/.dev ## The whole way, from init to a browser
	$(BIN)/pytest tests/e2e $(PYTEST_FLAGS)

audit: $(VENV)/.dev ## What a stranger sees: ssh-audit, testssl, nmap, hydra, the CIS benchmark
	@tests/install-needs
	$(BIN)/pytest tests/audit -n 2 --dist loadfile $(PYTEST_FLAGS)

lint: $(VENV)/.dev ## ruff, mypy, hadolint, shellcheck
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint --failure-threshold warning images/*/Dockerfile
	$(BIN)/shellcheck $$(tests/shell-scripts)

bench: $(VENV)/.dev ## Measure against docker compose and write docs/benchmarks.md
	$(BIN)/python -m tests.bench

docs: $(VENV)/.dev ## Write docs/reference from the code
	$(BIN)/python docs/generate.py

wheel: $(VENV)/.dev ## Build dist/*.whl
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --quiet

lock: $(VENV)/.dev ## Pin what pyproject.toml asks for, with hashes
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		pyproject.toml --group dev --constraints requirements.lock --output-file requirements-dev.lock

clean: ## Remove what the targets above made in this folder
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Debian and Ubuntu keep venv in a package of its own.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "rigstack needs Python 3.11 or newer: make up PYTHON=/path/to/python3" >&2; exit 3; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "installing python3-venv" >&2; apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
			apt-get -qqy install python3-venv ca-certificates > /dev/null; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python requirements.lock pyproject.toml
	@echo "installing rigstack into $(VENV)" >&2
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock 2>$(VENV)/pip.log \
		|| { cat $(VENV)/pip.log >&2; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e . 2>$(VENV)/pip.log \
		|| { cat $(VENV)/pip.log >&2; exit 1; }
	@touch $@

$(VENV)/.dev: $(VENV)/.installed requirements-dev.lock
	@echo "installing the test tools into $(VENV)" >&2
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock 2>$(VENV)/pip.log \
		|| { cat $(VENV)/pip.log >&2; exit 1; }
	@touch $@
