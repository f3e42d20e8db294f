# Two commands on a fresh machine: `make demo` and `make test`. Everything lives in .venv and build/.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SHELL := /bin/bash

.PHONY: demo test test-all bench bench-quick lint debian clean

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info[:2] == (3, 11), f"Python 3.11 is needed, found {sys.version.split()[0]}: make PYTHON=/path/to/python3.11"'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[all,dev]"
	touch $@

demo: .venv/installed
	$(BIN)/python -m benchmarks.train_baseline --model builtin:resnet8 --data builtin:digits \
		--epochs 15 --lr 0.1 -o build/demo/digits.safetensors
	rm -rf build/demo/run
	$(BIN)/edgeprune optimize --model builtin:resnet8 --weights build/demo/digits.safetensors --data builtin:digits \
		--target host --latency 50% -o build/demo/run

debian:
	@tests/install-debian.sh

test: .venv/installed debian
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 -m "not slow"

test-all: .venv/installed debian
	$(BIN)/pytest -n 2

bench: .venv/installed debian
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[bench]"
	$(BIN)/python -m benchmarks.fashion
	$(BIN)/python -m benchmarks.digits
	$(BIN)/python -m benchmarks.speed

lint: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv build runs
