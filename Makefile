PYTHON ?= python3
VENV_PYTHON = .venv/bin/python
COMPILE = uv pip compile --quiet --universal --generate-hashes --no-header pyproject.toml

.PHONY: run test bench lint schema lock

run:       ## Serve the demo world
	$(PYTHON) run.py

test:      ## Set up for development and run every test
	$(PYTHON) run.py test

lint:      ## Style and types
	$(VENV_PYTHON) -m ruff check
	$(VENV_PYTHON) -m mypy

schema:    ## Print the contract into docs
	@KABINET_MODE=development $(PYTHON) run.py schema --output docs/schema.graphql

lock:      ## Choose versions anew from pyproject.toml (needs uv)
	$(COMPILE) --upgrade -o requirements.lock
	$(COMPILE) --upgrade --group dev -c requirements.lock -o requirements-dev.lock
