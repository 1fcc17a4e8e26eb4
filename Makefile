# `make` lists the targets. Every target sets up what it needs.
.DEFAULT_GOAL := help
.PHONY: docstrings compare screenshots architecture pages profiles gallery docs docs-serve help run up down images sbom unit test test-docker faults check lint audit format bench lock clean

# Tests and commands start many processes, each of which would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=

SHELL := bash
.SHELLFLAGS := -o pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What running needs; tools for tests and checks join it when they are first asked for. Those that look at supply
# chains have an environment of their own, since what they bring slows every program beside them.
READY := $(VENV)/.ready
TOOLS := $(VENV)/.tools
AUDIT := .venv-audit
BENCH := .venv-bench
REFERENCE := .venv-reference
LOCKS := deploy/requirements
SOURCES := services shared tests examples deploy
# The modules that the site's references render: what their docstrings leave out, `make lint` says.
RENDERED = $(foreach module,$(shell sed -n 's|^::: metriq_gym\.|shared/metriq_gym.|p' docs/api.md docs/reference.md | tr . /),\
  $(firstword $(wildcard $(module).py $(module)/__init__.py)))
IMAGES := dispatcher poller scorer exporter console sandbox
PROFILES ?=
WORKERS ?=
# For unit tests as many as there are cores; where tests wait for servers and services, more.
parallel = --numprocesses $(or $(WORKERS),$(1)) --dist loadgroup --no-loadscope-reorder
CORES_AND_THREE = $$($(BIN)/python -c 'import os; print(os.cpu_count() + 3)')
SBOM ?= dist/sbom
# With the profile come traces, unless .env says where they go.
TRACES := $(if $(filter observability,$(PROFILES)),$(if $(shell grep -s '^METRIQ_OTLP_ENDPOINT=' .env),,METRIQ_OTLP_ENDPOINT=http://otel-collector:4318))
COMPOSE := docker compose $(addprefix --profile ,$(PROFILES))
# What is in no image: what draws on terminals, but for the console's texts, and Django and what Plotly imports, of which
# only scripts are.
TERMINAL := markdown-it-py mdurl pygments rich shellingham typer
UNUSED_console := django asgiref narwhals sqlparse shellingham typer
unused = $(addprefix --no-emit-package ,$(or $(UNUSED_$(1)),$(TERMINAL)))
LOCK := $(BIN)/uv pip compile --quiet --no-config --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --custom-compile-command 'make lock'
# $(call install,ENVIRONMENT,LOCK): one line for each package as it is fetched; bytecode is written when it is first needed.
install = $(1)/bin/python -m pip install --disable-pip-version-check --require-hashes --no-compile -r $(2) | \
  awk -v all=$$(grep -c '^[^ \#]*==' $(2)) '/^(Collecting|Ignoring|Processing|Requirement)/ {n++} \
  /^(Collecting|Processing)/ {name = $$2; sub(".*/", "", name); sub("[=-]=?[0-9].*", "", name); printf "  %3d of %d  %s\n", n, all, name; fflush()} \
  /^Installing/ {print "  installing"; fflush()}' >&2

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | sed 's/|/\t/' | expand -t 24

$(READY): $(LOCKS)/embedded.txt pyproject.toml
	@echo "setting up $(VENV), once: about a minute" >&2
	@$(PYTHON) -m venv --clear $(VENV) 2>/dev/null || { \
	  echo "python3-venv is missing, installing it" >&2; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null && \
	  $(PYTHON) -m venv --clear $(VENV); }
	@$(BIN)/python -c 'import ctypes; ctypes.CDLL("libcurl.so.4")' 2>/dev/null || { \
	  echo "libcurl, which MongoDB's server needs, is missing, installing it" >&2; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends libcurl4 >/dev/null; }
	@$(call install,$(VENV),$(LOCKS)/embedded.txt)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(TOOLS): requirements.txt $(READY)
	@echo "adding what tests and checks need to $(VENV), once" >&2
	@$(call install,$(VENV),requirements.txt)
	@touch $@

$(AUDIT)/.ready: $(LOCKS)/audit.txt
	@echo "setting up $(AUDIT), once" >&2
	@$(PYTHON) -m venv --clear $(AUDIT)
	@$(call install,$(AUDIT),$(LOCKS)/audit.txt)
	@touch $@

$(BENCH)/.ready: $(LOCKS)/bench.txt
	@echo "setting up $(BENCH), once" >&2
	@$(PYTHON) -m venv --clear $(BENCH)
	@$(call install,$(BENCH),$(LOCKS)/bench.txt)
	@touch $@

# The reference tool as it was released, with what was newest then; it needs Python 3.12 or 3.13, which uv finds or fetches.
$(REFERENCE)/.ready: | $(BIN)/uv
	@echo "setting up $(REFERENCE), once: some minutes" >&2
	@$(BIN)/uv venv --quiet --clear --python '>=3.12,<3.14' $(REFERENCE)
	@printf 'setuptools<81\n' > $(REFERENCE)/build-constraints.txt
	@$(BIN)/uv pip install --quiet --python $(REFERENCE)/bin/python --exclude-newer 2026-09-10 \
	  --build-constraints $(REFERENCE)/build-constraints.txt 'metriq-gym==0.8.0' 'ipython<9'
	@touch $@

$(BIN)/uv:
	@$(MAKE) $(TOOLS)

run: $(READY)  ## run the published WIT example with embedded servers and print its record
	@$(BIN)/mgym run wit.example.json --provider local --device aer_simulator --json

up:  ## start everything in containers, with random passwords; PROFILES="sandbox observability" for more
	@$(PYTHON) deploy/passwords.py
	$(TRACES) $(COMPOSE) up --detach --wait --build

down:  ## stop the containers; data stay
	docker compose --profile '*' down

images:  ## build all images and print their sizes
	VERSION=$$($(PYTHON) -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])') \
	REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) docker compose --profile sandbox build
	@for name in $(IMAGES); do docker image ls --format '{{.Repository}} {{.Size}}' \
	  "$${METRIQ_IMAGE_PREFIX:-metriq-gym}-$$name:$${METRIQ_IMAGE_TAG:-dev}"; done

sbom: $(AUDIT)/.ready  ## write a software bill of materials (CycloneDX) for each image to dist/sbom
	@mkdir -p $(SBOM)
	for name in $(IMAGES); do $(AUDIT)/bin/python -W ignore::UserWarning -m cyclonedx_py requirements --output-reproducible \
	  --pyproject pyproject.toml --output-file $(SBOM)/$$name.cdx.json $(LOCKS)/$$name.txt || exit 1; done

unit: $(TOOLS)  ## run the unit tests but for the slow ones: less than a minute
	$(BIN)/pytest $(call parallel,logical) -m "not slow" tests/unit

test: $(TOOLS)  ## run the whole suite against a real RabbitMQ and a real MongoDB
	$(BIN)/pytest $(call parallel,$(CORES_AND_THREE))

test-docker: $(TOOLS)  ## run the tests that need a Docker engine: images and compose
	$(BIN)/pytest tests/docker

faults: $(TOOLS)  ## the fault suite's long form, more than an hour, with its table of results
	METRIQ_TEST_FAULTS=long METRIQ_TEST_SEED=42 $(BIN)/pytest $(call parallel,$(CORES_AND_THREE)) tests/faults

lint: $(TOOLS)  ## check format, style, docstrings, types and the walls between packages
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(MAKE) --no-print-directory docstrings
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint deploy/docker/Dockerfile

docstrings: $(TOOLS)  ## check that what the site renders leaves out no parameter and no error
	$(BIN)/ruff check --preview --select D417,DOC102,DOC501 $(RENDERED)
	$(BIN)/numpydoc lint --config . $(RENDERED)

audit: $(AUDIT)/.ready  ## look for known vulnerabilities in what is locked, where their database can be reached
	$(AUDIT)/bin/python deploy/audit.py

check: lint audit test  ## all of the checks: lint, audit and test

format: $(TOOLS)  ## format the code and mend what can be mended
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

docs: $(TOOLS)  ## build the documentation site into build/site; a broken reference fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

docs-serve: $(TOOLS)  ## show the documentation site while it is written
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve

architecture: $(TOOLS)  ## draw docs/architecture.svg anew from the imports
	$(BIN)/python -m tests.docs.architecture

pages: $(TOOLS)  ## write anew what pages say that follows from the code: tables, circuits, architecture, messages
	$(BIN)/python -m tests.docs

profiles: $(TOOLS)  ## make the noisy device profiles anew from the snapshots of qiskit-ibm-runtime
	@$(BIN)/python deploy/device_profiles.py

gallery: $(TOOLS)  ## run the commands of docs/gallery.md, which draws its pictures anew: some minutes
	$(BIN)/python -m tests.docs.gallery

bench: $(TOOLS) $(BENCH)/.ready  ## measure: latency, writes and throughput per job, speed of each benchmark
	$(BIN)/python -m tests.bench

compare: $(TOOLS) $(REFERENCE)/.ready  ## run the examples here and in the reference tool, and write docs/compare.md's table: 15 minutes
	OMP_NUM_THREADS=1 nice $(BIN)/python -m tests.compare $(REFERENCE)/bin/python

screenshots: $(TOOLS)  ## take pictures of every page of the console, at 390 and 1440 pixels, light and dark
	$(BIN)/python -m tests.docs.screenshots screenshots

lock: | $(BIN)/uv  ## write the hash-locked requirements anew from pyproject.toml
	$(LOCK) --universal --extra embedded --extra sandbox --group dev pyproject.toml --output-file requirements.txt
	$(LOCK) --universal --extra embedded --extra sandbox --group build --constraints requirements.txt pyproject.toml \
	  --output-file $(LOCKS)/embedded.txt
	$(foreach image,$(IMAGES),$(LOCK) --python-platform linux --extra $(image) $(call unused,$(image)) \
	  --constraints requirements.txt pyproject.toml --output-file $(LOCKS)/$(image).txt &&) true
	$(LOCK) --universal --group audit --output-file $(LOCKS)/audit.txt
	$(LOCK) --universal --group bench --output-file $(LOCKS)/bench.txt

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) $(AUDIT) $(REFERENCE) build/site build/compare.jsonl .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
