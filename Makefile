# Two commands for a newcomer, each doing all of its own set-up on a machine with Python 3.11+ and make:
#   make demo    compile two trained models for two runtimes and show what came out
#   make test    the default test suite
# Also: make test-full (the longer tier too), make lint, make bench (how fast the compiler itself is), make bench-peers
# (what comes out beside what other tools make of the same models: most of an hour, see docs/peers.md), make clean.

# The first interpreter that is new enough; PYTHON=... overrides.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The suite runs two processes; more threads than that in each would only fight for the cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -q
# One file a commit, so that two of them can be compared: .venv/bin/pytest-benchmark compare out/bench/*.json
BENCH_FILE = out/bench/$(shell git describe --always --dirty 2>/dev/null || echo unversioned).json

.PHONY: demo test test-full lint bench bench-peers setup clean
.DEFAULT_GOAL := test

demo: $(READY)
	$(BIN)/python examples/demo.py

test: $(READY)
	$(PYTEST) -m "not full"

test-full: $(READY)
	$(PYTEST)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir $(VENV)/.import_linter

# Collecting what earlier rounds left behind would be most of a pass's time.
bench: $(READY)
	mkdir -p out/bench
	$(BIN)/pytest benchmarks/micro -q --benchmark-disable-gc --benchmark-json=$(BENCH_FILE)

# CASES="fashion-detector minilm" takes those alone; what is known already is not made again.
bench-peers: $(READY)
	$(BIN)/python benchmarks/peers run $(CASES)

setup: $(READY)

# pip prefers a CPU build of the pinned PyTorch (2.13.0+cpu) wherever one is at hand, as through PIP_FIND_LINKS.
$(READY): pyproject.toml constraints.txt setup.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; install it, or say: make PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e ".[dev,examples]"
	@touch $@

clean:
	rm -rf $(VENV) .venv-peers build dist out src/edgewright.egg-info
