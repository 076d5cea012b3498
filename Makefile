# Chroma Fleet: `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/local
LOCAL := $(VENV)/bin/python -m localcloud
# By file, because the tests of some files are the steps of one life. `test` begins with the longest file, as it is given.
PARALLEL := --numprocesses 2 --dist loadfile --durations 12
RECORDED := .cache/calls/staging.json .cache/calls/production.json

.PHONY: help
help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo:  ## From nothing to answers: install, start the local cloud, run site.yml, store and query a corpus
	@demo/run

.PHONY: test
test: bootstrap compiler  ## Everything that CI checks: lint, unit, whole environments, molecule, end to end
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=line lint images
	@pytest $(PARALLEL) --no-loadscope-reorder tests/provision tests/unit tests/test_package.py
	@python -m localcloud.deployer --check $(RECORDED)
	@pytest --numprocesses 2 --durations 12 tests/molecule
	@pytest --durations 12 tests/e2e

.PHONY: lint
lint: bootstrap  ## ansible-lint (production), yamllint, ruff, changelog fragments; the long proofs can be begun
	ruff check
	ruff format --check
	yamllint --strict .
	ansible-lint --offline
	antsibull-changelog lint
	pytest --collect-only --quiet --quiet -m '' tests/soak

.PHONY: unit
unit: compiler  ## Tests that need no container
	pytest $(PARALLEL) tests/unit tests/test_package.py

.PHONY: provision
provision: images  ## The life of inventories/staging and production, and of single layers, against an AWS API of their own
	pytest $(PARALLEL) tests/provision
	@python -m localcloud.deployer --check $(RECORDED)

.PHONY: bench
bench: images  ## Measure what a run costs, and write docs/provision.md
	@python benchmarks/provision.py staging >docs/provision.md

.PHONY: bench-data-plane
bench-data-plane: images compiler  ## Measure a host against bare Chroma (13 minutes, the first time 5 more; nothing else may run): docs/data-plane.md
	@python benchmarks/data_plane.py

.PHONY: bench-snapshots
bench-snapshots: images  ## Measure a restore of 234 MB and of 1 GB, and how long writes wait at 500 MB: rows of docs/snapshots.md
	@python benchmarks/restore.py
	@python benchmarks/write_pause.py

.PHONY: molecule
molecule: images  ## One scenario per host role, on Debian 12 and 13
	pytest -m long tests/molecule

.PHONY: soak
soak: images  ## Long proofs: each layer's life, each role on each Debian, 200 kills, 100 snapshots, 20 refreshes of a reader, the query cache for ten minutes (SOAK_SECONDS)
	pytest $(PARALLEL) -m long tests/unit
	pytest $(PARALLEL) -m '' tests/provision
	pytest -m long tests/molecule
	pytest -m '' tests/e2e
	pytest tests/soak

.PHONY: e2e
e2e: bootstrap  ## The whole path in the local cloud: make demo in a clean clone, and what must hold then
	pytest tests/e2e

.PHONY: images
images: bootstrap
	@$(LOCAL) images node node-bookworm chroma

.PHONY: local-up
local-up: bootstrap  ## Start the local cloud: AWS API, instances, load balancer, registry
	@$(LOCAL) up

.PHONY: local-status
local-status: bootstrap  ## Show what runs in the local cloud
	@$(LOCAL) status

.PHONY: local-down
local-down: bootstrap  ## Remove everything that the local cloud made (KEEP_IMAGES=1 leaves its images)
	@$(LOCAL) down $(if $(KEEP_IMAGES),--keep-images)

.PHONY: cost
cost: bootstrap  ## Compute docs/cost anew: what the inventories staging and production cost in a month
	@for environment in staging production; do \
	  ansible-playbook -i inventories/$$environment playbooks/cost.yml -e fleet_cost_report=$(CURDIR)/docs/cost/$$environment.md || exit; \
	done

.PHONY: deployer-policy
deployer-policy: bootstrap  ## Make docs/deployer-policy.json anew, from the calls that the last tests of whole environments recorded
	@$(VENV)/bin/python -m localcloud.deployer $(RECORDED)

.PHONY: bootstrap
bootstrap:  ## Install what is missing: Debian packages (as root on Debian), .venv, a running Docker
	@local/bootstrap

# For the load generator of the benchmarks, which has unit tests.
.PHONY: compiler
compiler:
	@local/bootstrap compiler
