# Only python3 (3.11 or later), make and the package registries are assumed.
# Everything is installed below .venv and .tools; `make clean` removes them.

PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
TOOLS := .tools
BIN := $(VENV)/bin
# Most tests wait, for time-outs of brokers and of dead members; so more than there are cores.
PROCESSES ?= 4

.DEFAULT_GOAL := help
.PHONY: help demo test test-long lint clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.run-ready ## the whole system on this machine; you decide on a notice
	@$(BIN)/countersign demo $(ARGS)

test: $(VENV)/.dev-ready ## all tests but the long ones, the real broker and Redis included
	@$(BIN)/python -m pytest -p tests.support.require_kafka --require-kafka=60 -m "not long" -n $(PROCESSES) --dist worksteal $(ARGS)

test-long: $(VENV)/.dev-ready ## the long tests only
	@$(BIN)/python -m pytest -m long $(ARGS)

lint: $(VENV)/.dev-ready ## ruff, formatting, mypy, pyright, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

clean: ## remove what make and the tools have made
	rm -rf $(VENV) $(TOOLS) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- installing -----------------------------------------------------------------------------

$(VENV)/.run-ready: pyproject.toml uv.lock | $(TOOLS)/.ready
	@$(call install,--no-dev)
	@touch $@

$(VENV)/.dev-ready: pyproject.toml uv.lock | $(TOOLS)/.ready
	@$(call install,)
	@touch $@ $(VENV)/.run-ready

$(TOOLS)/.ready: Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "Python's venv and ensurepip are needed; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "preparing uv $(UV_VERSION) in $(TOOLS)"
	@$(PYTHON) -m venv --clear $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

# What uv.lock says, and nothing else. uv is told what pip is told of this machine: the authority
# behind which it sits; and where pip uses another index, pip installs what uv.lock pins, since the
# lock names where its files were found.
define install
set -eu; \
pip="$(TOOLS)/bin/python -m pip --disable-pip-version-check"; \
cert="$${PIP_CERT:-$$($$pip config get global.cert 2>/dev/null || true)}"; \
index="$${PIP_INDEX_URL:-$$($$pip config get global.index-url 2>/dev/null || true)}"; \
if [ -n "$$cert" ]; then export SSL_CERT_FILE="$${SSL_CERT_FILE:-$$cert}"; fi; \
echo "installing into $(VENV) what uv.lock pins"; \
unset VIRTUAL_ENV; \
[ -x $(BIN)/python ] || $(PYTHON) -m venv --without-pip $(VENV); \
if [ -z "$$index" ]; then \
  $(TOOLS)/bin/uv sync --quiet --frozen --inexact $(1) --python $(BIN)/python; \
else \
  $(TOOLS)/bin/uv export --quiet --frozen $(1) --no-emit-project --output-file $(TOOLS)/pinned.txt; \
  $$pip --python $(BIN)/python install --quiet --require-hashes --requirement $(TOOLS)/pinned.txt; \
  $$pip --python $(BIN)/python install --quiet --no-deps --editable .; \
fi
endef
