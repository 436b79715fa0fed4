# Everything happens in .venv, made on first use from hash-locked packages. PYTHON: any 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --quiet --universal --generate-hashes --no-annotate

# Tests write and sync many small files: in memory, where there is room for them, that takes half the time.
ROOM = $(shell df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)
MEMORY = $(if $(TMPDIR),,$(shell [ "$(ROOM)" -gt 6000000 ] 2>/dev/null && echo TMPDIR=/dev/shm))

.PHONY: demo test test-long check fmt soak soak-daemon soak-properties lock
demo: .venv/ready    # five CRMs on loopback, synced into DuckDB, changed, synced again; needs no network
	$(BIN)/onepipe demo
test: .venv/ready    # the tests
	$(MEMORY) $(BIN)/python -m pytest -n auto --dist worksteal
test-long: .venv/ready  # those that take long: each step of each process that is killed, each CRM where one stands for five
	$(MEMORY) $(BIN)/python -m pytest -n auto --dist worksteal -m long
check: .venv/ready   # style, types, tests
	$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy && $(MAKE) test
fmt: .venv/ready     # put every file into the house style
	$(BIN)/ruff check --fix && $(BIN)/ruff format
soak: .venv/ready    # SEEDS (1000) fresh simulations, from FIRST where given; SEED=123 replays that one and tells all of it
	$(BIN)/python -m tests.simulation.play
soak-daemon: .venv/ready  # MINUTES (30) of a daemon that is killed again and again, beside edits and readers; SEED=7 edits the same again
	$(MEMORY) $(BIN)/python -m tests.daemon.soak
soak-properties: .venv/ready  # the property tests with fifty times as many examples
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -n auto
lock:                # new versions of all packages; needs uv
	$(LOCK) --upgrade --group dev pyproject.toml -o requirements.lock

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; v = sys.version_info; v >= (3, 11) or sys.exit('onepipe needs Python 3.11 or newer, this is %d.%d: make PYTHON=python3.12' % v[:2])"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
