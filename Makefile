# Everything a newcomer needs: `make demo` and `make test`, as root on Debian 12 or 13.

PYTHON := .venv/bin/python
DURATION ?=
TESTS ?= tests

.PHONY: help setup demo test test-vm lint format constraints clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing and make .venv
	@packaging/setup

demo: setup ## Watch an agent control a simulated plant, until Ctrl-C or DURATION= seconds
	@$(PYTHON) packaging/user-systemd.py $(PYTHON) -m coredinator.demo $(if $(DURATION),--duration $(DURATION))

test: setup ## Run the tests, or those in TESTS=
	$(PYTHON) -m pytest $(TESTS)

test-vm: setup ## Run the tests on an emulated machine with a kernel of its own
	$(PYTHON) -m pytest -m vm tests/large

lint: setup ## Check style and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m pyright

format: setup ## Format the code
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

constraints: ## Pin all dependencies anew, with hashes (needs uv)
	uv pip compile --quiet --extra dev -c packaging/debian-13.txt --generate-hashes --universal \
		--python-version 3.13 --no-emit-index-url --custom-compile-command 'make constraints' \
		-o constraints.txt pyproject.toml

clean: ## Remove what can be made again
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist

-include packaging/*.mk
