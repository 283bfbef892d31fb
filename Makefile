# What is needed is brought into the checkout: .tools/ (uv), .venv/ (dependencies), .cache/ (brokers); only system packages
# (tools/system-packages.sh, tools/setup.sh) are installed outside, and only for root on Debian. `make` lists the targets.
BIN := .venv/bin
SYNCED := .venv/.synced
CHANNEL ?= telegram
CHANNELS := $(patsubst services/%/pyproject.toml,%,$(wildcard services/*/pyproject.toml))
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)
# Dozens of processes start in a run: what Python compiles is kept, or each of them compiles all libraries anew.
unexport PYTHONDONTWRITEBYTECODE
SBOM := .tools/bin/uv export --quiet --frozen --no-default-groups --format cyclonedx1.5 --preview-features sbom-export

.DEFAULT_GOAL := help
.PHONY: help run test check fmt contract packages docs screenshots goldens chaos bench image sbom clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(SYNCED) ## start a whole world here: broker, state, provider simulators, services, console
	@$(BIN)/python -m sandbox $(ARGS)

test: $(SYNCED) ## all checks, all tests but chaos; the last lines name what could not run here
	@sh tools/system-packages.sh
	@$(MAKE) --no-print-directory check
	$(BIN)/pytest -n 2 -m "not chaos" $(ARGS)

check: $(SYNCED) ## lint, format, types, imports, lock file, licences, known weaknesses, workflows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	.tools/bin/uv lock --check
	$(BIN)/python -m tests.licences
	$(BIN)/python -m tests.audit
	$(BIN)/zizmor --offline --quiet .github

fmt: $(SYNCED) ## format, and mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

contract: $(SYNCED) ## write shared/contract/published anew after a change of the contract
	$(BIN)/python -m shared.contract.publish_schemas $(ARGS)

packages: $(SYNCED) ## build the contract's packages into dist/: a wheel for Python, types for npm
	@$(BIN)/python -m shared.contract.publish_packages $(ARGS)

docs: $(SYNCED) ## write the documents anew that are made of tables, goldens and simulators
	$(BIN)/python -m tests.deploy.dashboard
	$(BIN)/python -m tests.deploy.manifests
	$(BIN)/python -m tests.errors
	$(BIN)/python -m tests.files
	$(BIN)/python -m tests.guide
	$(BIN)/python -m tests.limits
	$(BIN)/python -m tests.metrics
	$(BIN)/python -m tests.provider_errors
	$(BIN)/python -m tests.refusals
	$(BIN)/python -m tests.settings
	$(BIN)/python -m tests.simulators

screenshots: $(SYNCED) ## take the console's screenshots anew, into docs/images/
	$(BIN)/python -m tests.sandbox.console.screenshots $(ARGS)

goldens: $(SYNCED) ## write the expectations of the golden files anew; read the difference before you commit it
	GOLDENS=update $(BIN)/pytest -q tests/channels/test_goldens.py $(ARGS)

chaos: $(SYNCED) ## kill processes and dependencies while messages flow; takes minutes
	@sh tools/system-packages.sh faketime
	$(BIN)/pytest -m chaos $(ARGS)

bench: $(SYNCED) ## measure, each figure beside a bare yardstick, into bench/RESULTS.md
	@$(BIN)/python -m bench $(ARGS)

image: ## build the container image of one channel: make image CHANNEL=telegram
	docker build --build-arg CHANNEL=$(CHANNEL) --build-arg VERSION=$(VERSION) --tag $(CHANNEL)-connector:dev .

sbom: $(SYNCED) ## write what the lock puts into each image, and into its extras, as CycloneDX JSON into dist/sbom/
	@mkdir -p dist/sbom
	@for channel in $(CHANNELS); do $(SBOM) --package $$channel-connector -o dist/sbom/$$channel.json || exit 1; done
	@for extra in video msk tracing; do $(SBOM) --package channel-connectors --extra $$extra -o dist/sbom/extra-$$extra.json || exit 1; done
	@ls dist/sbom/*.json

clean: ## remove everything that was brought or made here
	rm -rf .tools .venv .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(SYNCED): uv.lock pyproject.toml $(wildcard services/*/pyproject.toml) tools/setup.sh
	@sh tools/setup.sh
	@touch $@
