# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Nothing here needs root. Everything that is made is in build/.
# PYTHON=python3.12 chooses the Python; ARGS='-k slot -x' goes to the tool of a single gate.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PYTHON
PYTHON ?=
ARGS ?=
N ?= 20
SIZE ?= 5GB
JOBS ?=

GATES := unit integration test-mesh molecule sanity lint docs-lint changelog-lint galaxy
BOOT := $(or $(shell command -v $(or $(PYTHON),python3)),python3)
run = build/venv/bin/python tests/gates/run.py

.PHONY: help venv tools test ci clean demo demo-mesh demo-down bench-cutover bench-copy $(GATES)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+( [a-z-]+)*:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

venv: ## build/venv with ansible-core and the lab's PostgreSQL; build/env.sh to source
	@$(BOOT) requirements/venv.py run

tools: ## the same, and what the gates need
	@$(BOOT) requirements/venv.py test

test: tools ## all gates, a table, and the count
	@$(run) test

ci: tools ## all gates, then the demo
	@$(run) ci

unit: tools ## pytest tests/unit
	@$(run) unit $(ARGS)

integration: tools ## pytest tests/integration: every module against real servers
	@$(run) integration $(ARGS)

test-mesh: tools ## the tests on real Spock, of CROSSOVER_PG_CONFIG, the path or a package; recorded in tests/mesh.json
	@$(run) test-mesh $(ARGS)

molecule: tools ## the scenario default, with its idempotence and testinfra checks
	@$(run) molecule $(ARGS)

sanity: tools ## ansible-test sanity, nothing ignored
	@$(run) sanity $(ARGS)

lint: tools ## house rules, ruff, mypy, yamllint, ansible-lint (production)
	@$(run) lint

docs-lint: tools ## antsibull-docs over all plugins and roles
	@$(run) docs-lint

changelog-lint: tools ## antsibull-changelog over the fragments
	@$(run) changelog-lint

galaxy: tools ## build the collection, run Galaxy's importer on it, install it, use it
	@$(run) galaxy

demo: venv ## migrate a live database under load, cut over, roll back, report
	@. build/env.sh; demo/run

demo-mesh: venv ## the same onto a mesh of three Spock nodes, where a PostgreSQL with Spock is found
	@. build/env.sh; DEMO_NODES=3 demo/run

demo-down: venv ## stop the demo's servers and remove them
	@. build/env.sh; demo/down

bench-cutover: venv ## N=20 cutovers, measured: build/bench/cutover.json
	@. build/env.sh; demo/bench-cutover $(N)

bench-copy: venv ## SIZE=5GB copied by us and by three others: build/bench/copy.json
	@. build/env.sh; SIZE=$(SIZE) JOBS=$(JOBS) demo/bench-copy

clean: ## remove what the gates made; the venv, the demo and its report stay
	@rm -rf build/tree build/logs build/home build/galaxy build/.pytest_cache
