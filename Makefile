PYTHON ?= python3
VENV_PYTHON = .venv/bin/python
BENCHMARKS = orders_page set_prices price_drops
COMPILE = uv pip compile --quiet --universal --generate-hashes --no-header pyproject.toml

.PHONY: run test bench lint schema lock

run:       ## Serve the demo world
	$(PYTHON) run.py

test:      ## Set up for development and run every test
	$(PYTHON) run.py test

bench:     ## Print what Kabinet costs, as ratios measured in one run
	@$(PYTHON) run.py --help >/dev/null
	for name in $(BENCHMARKS); do $(VENV_PYTHON) -m bench.$$name || exit 1; done

lint:      ## Style and types
	$(VENV_PYTHON) -m ruff check
	$(VENV_PYTHON) -m mypy

schema:    ## Print the contract into docs
	@KABINET_MODE=development $(PYTHON) run.py schema --output docs/schema.graphql

lock:      ## Choose versions anew from pyproject.toml (needs uv)
	$(COMPILE) --upgrade -o requirements.lock
	$(COMPILE) --upgrade --group dev -c requirements.lock -o requirements-dev.lock
