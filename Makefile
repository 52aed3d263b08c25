PYTHON ?= python3
VENV_PYTHON = .venv/bin/python
BENCHMARKS = orders_page set_prices price_drops sign_ins
COMPILE = uv pip compile --quiet --universal --generate-hashes --no-header pyproject.toml

LAB ?= ../shared/lab
PEERS = $(foreach peer,$(wildcard bench/lab/peer-*.json),--peer-file $(abspath $(peer)))

.PHONY: run test bench lab lint schema lock

run:       ## Serve the demo world
	$(PYTHON) run.py

test:      ## Set up for development and run every test
	$(PYTHON) run.py test

bench:     ## Print what Kabinet costs, as ratios measured in one run
	@$(PYTHON) run.py test --version >/dev/null
	for name in $(BENCHMARKS); do $(VENV_PYTHON) -m bench.$$name || exit 1; done
	if [ -d "$(LAB)" ]; then $(MAKE) lab; fi

lab:       ## Run Kabinet beside its peers in the lab that lies in the folder LAB (docs/benchmarks.md)
	KABINET_PYTHON=$(abspath $(VENV_PYTHON)) $(LAB)/run.sh $(PEERS) $(LAB_ARGUMENTS)

lint:      ## Style and types
	$(VENV_PYTHON) -m ruff check
	$(VENV_PYTHON) -m mypy

schema:    ## Print the contract into docs
	@KABINET_MODE=development $(PYTHON) run.py schema --output docs/schema.graphql

lock:      ## Choose versions anew from pyproject.toml (needs uv)
	$(COMPILE) --upgrade -o requirements.lock
	$(COMPILE) --upgrade --group dev -c requirements.lock -o requirements-dev.lock
