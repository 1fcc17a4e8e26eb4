# `make` lists the targets. Every target sets up what it needs.
.DEFAULT_GOAL := help
.PHONY: help run up down images sbom test test-docker faults check lint audit format bench lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := services shared tests examples deploy
IMAGES := dispatcher poller scorer exporter sandbox
PROFILES ?=
SBOM ?= dist/sbom
# With the profile come traces, unless .env says where they go.
TRACES := $(if $(filter observability,$(PROFILES)),$(if $(shell grep -s '^METRIQ_OTLP_ENDPOINT=' .env),,METRIQ_OTLP_ENDPOINT=http://otel-collector:4318))
COMPOSE := docker compose $(addprefix --profile ,$(PROFILES))
LOCK := $(BIN)/uv pip compile --quiet --no-config --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --custom-compile-command 'make lock'

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | sed 's/|/\t/' | expand -t 24

$(READY): requirements.txt pyproject.toml
	@echo "setting up $(VENV), once: about two minutes"
	@$(PYTHON) -m venv --clear $(VENV) 2>/dev/null || { \
	  echo "python3-venv is missing, installing it"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null && \
	  $(PYTHON) -m venv --clear $(VENV); }
	@$(BIN)/python -c 'import ctypes; ctypes.CDLL("libcurl.so.4")' 2>/dev/null || { \
	  echo "libcurl, which MongoDB's server needs, is missing, installing it"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends libcurl4 >/dev/null; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

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

sbom: $(READY)  ## write a software bill of materials (CycloneDX) for each image to dist/sbom
	@mkdir -p $(SBOM)
	for name in $(IMAGES); do $(BIN)/python -W ignore::UserWarning -m cyclonedx_py requirements --no-validate --output-reproducible --pyproject pyproject.toml \
	  --output-file $(SBOM)/$$name.cdx.json deploy/requirements/$$name.txt || exit 1; done

test: $(READY)  ## run the whole suite against a real RabbitMQ and a real MongoDB
	$(BIN)/pytest

test-docker: $(READY)  ## run the tests that need a Docker engine: images and compose
	$(BIN)/pytest tests/docker

faults: $(READY)  ## the fault suite's long form, about an hour, with its table of results
	METRIQ_TEST_FAULTS=long METRIQ_TEST_SEED=42 $(BIN)/pytest tests/faults

lint: $(READY)  ## check format, style, types and the walls between packages
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint deploy/docker/Dockerfile

audit: $(READY)  ## look for known vulnerabilities in what is locked, where their database can be reached
	$(BIN)/python deploy/audit.py

check: lint audit test  ## all of the checks: lint, audit and test

format: $(READY)  ## format the code and mend what can be mended
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench: $(READY)  ## measure: latency, writes and throughput per job, speed of each benchmark
	$(BIN)/python -m tests.bench

lock: $(READY)  ## write the hash-locked requirements anew from pyproject.toml
	for service in $(IMAGES); do \
	  $(LOCK) --python-platform linux --extra $$service pyproject.toml \
	    --output-file deploy/requirements/$$service.txt || exit 1; done
	$(LOCK) --universal --extra dev pyproject.toml --output-file requirements.txt

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
