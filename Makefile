# Candelabra's commands. Everything lives in .venv; delete it to start afresh.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.set-up
STORE ?= candelabra-data
SUITE ?= lifecycle
BENCH_OPTIONS ?=
COMBINATIONS ?=
FUZZ_SECONDS ?= 600
FUZZ_SEED ?= 1
CHAOS_FAULTS ?= 1000
CHAOS_SEED ?=

.DEFAULT_GOAL := help
.PHONY: help setup run serve kernels test test-packages check lint constraints proto bench fuzz fuzz-rpc chaos soak

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SETUP) ## Build .venv with everything that the other targets need

$(SETUP): pyproject.toml server/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 setup")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)  # another Python must not be put into what is there
	$(BIN)/python -m pip install --quiet --constraint server/constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint server/constraints.txt \
	  --build-constraint server/constraints.txt --editable '.[server,cli,plot,demo]' --group dev
	@touch $@

run: $(SETUP) ## Load demo candles once, start a server, run a job over each kind, stop
	@$(BIN)/python client/examples/python/demo_run.py --store $(STORE)

serve: $(SETUP) ## Load demo candles once and serve them on 127.0.0.1:50051
	@$(BIN)/candelabra-server demo --if-missing --store $(STORE)
	@exec $(BIN)/candelabra-server serve --store $(STORE)

kernels: $(SETUP) ## Compile the kernels of formulas into the user's cache, once a version: about a minute
	@$(BIN)/candelabra-server warm-up

test: $(SETUP) kernels ## Run all tests but those of test-packages
	$(BIN)/python -m pytest

test-packages: $(SETUP) ## Install the packages anew with old and new versions and use them; takes minutes
	$(BIN)/python -m pytest -m packages tests/packages $(if $(COMBINATIONS),-k "$(COMBINATIONS)")

check: $(SETUP) kernels lint ## Lint, types, import contracts, generated code, coverage of the lifecycle code
	$(BIN)/python protos/generate.py --check
	$(BIN)/coverage run --include='server/candelabra_server/processing/processing_engine.py,server/candelabra_server/processing/worker_pool.py,server/candelabra_server/processing/pool_lane.py,server/candelabra_server/processing/executors/*' \
	  -m pytest -q tests/server/processing --deselect tests/server/processing/test_engine_leaks.py
	$(BIN)/coverage report --fail-under=100 --show-missing

lint: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd protos && ../$(BIN)/buf lint

constraints: $(SETUP) ## Write the installed versions to server/constraints.txt
	@{ echo '# Pinned versions of everything that `make setup` installs. Renew with `make constraints`.'; \
	  $(BIN)/python -m pip freeze --all --exclude setuptools --exclude-editable; \
	} > $(VENV)/constraints.txt
	mv $(VENV)/constraints.txt server/constraints.txt

proto: $(SETUP) ## Generate the messages and stubs anew
	$(BIN)/python protos/generate.py

bench: $(SETUP) kernels ## Measure beside the peers: make bench SUITE=compute BENCH_OPTIONS="--runs 3"; or delivery, lifecycle
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(SUITE) $(BENCH_OPTIONS)

fuzz-rpc: $(SETUP) kernels ## Send every RPC random, hostile and mutated bytes: make fuzz-rpc FUZZ_SECONDS=60
	PYTHONPATH=tests $(BIN)/python -m fuzz.rpc_fuzz --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

chaos: $(SETUP) kernels ## Harm a server under load at random, and judge what clients receive: make chaos CHAOS_FAULTS=100
	PYTHONPATH=tests $(BIN)/python -m chaos --faults $(CHAOS_FAULTS) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

soak: $(SETUP) kernels ## Cancelled calls, workers' deaths and too much load, by the thousand: what a server keeps of them
	PYTHONPATH=tests $(BIN)/python -m soak.cancelled_rpcs
	PYTHONPATH=tests $(BIN)/python -m soak.worker_deaths
	PYTHONPATH=tests $(BIN)/python -m soak.overload

fuzz: $(SETUP) kernels ## Try formulas that no one would write, for ten CPU-minutes: make fuzz FUZZ_SECONDS=60
	PYTHONPATH=tests $(BIN)/python -m fuzz --cpu-seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)
