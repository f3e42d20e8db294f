# Two commands on a fresh machine: `make demo` and `make test`. Everything lives in .venv and build/.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SHELL := /bin/bash

.PHONY: app app-test demo test test-all bench bench-quick docs release-check lint debian clean federated onnx2tf tflite-runtime native native-if-possible phone

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

test: .venv/installed debian native-if-possible
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 -m "not slow" --durations=15

test-all: .venv/installed debian native-if-possible
	$(BIN)/pytest -n 2
	$(BIN)/python -m benchmarks.convert_zoo  # hours, resumable

# Hours; every benchmark keeps its rows in build/bench and goes on after a kill.
BENCHMARKS := speed solver zoo_speed reshape digits fashion budget baselines recipes federated
bench: .venv/installed debian
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[bench]"
	for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit 1; done

bench-quick: .venv/installed debian
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[bench]"
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.solver
	$(BIN)/python -m benchmarks.digits --seeds 0
	$(BIN)/python -m benchmarks.budget --models mobilenet_v2 --runtimes litert --budgets 50%

# The runners for phones, and a phone to try them on.
SOURCES := $(wildcard profilers/android/native/*) profilers/android/native_build.py pyproject.toml
native: build/native/built
build/native/built: .venv/installed $(SOURCES)
	$(BIN)/python -m profilers.android.native_build
	touch $@

native-if-possible:
	@$(MAKE) --silent native || { echo "Left out: the tests that need the native runners."; [ "$$CI" != true ]; }

phone: .venv/installed debian native build/phone/arm64-v8a/busybox
	$(BIN)/python -m tests.phone
build/phone/arm64-v8a/busybox:
	tests/phone/fetch-busybox.sh arm64 $@

# Environments of their own, beside .venv: what cannot share it.
onnx2tf: .venv-onnx2tf/installed
.venv-onnx2tf/installed:
	$(PYTHON) -m venv .venv-onnx2tf
	.venv-onnx2tf/bin/pip install --quiet --disable-pip-version-check onnx2tf==1.28.8 tensorflow-cpu==2.21.0 tf_keras \
		onnx onnxruntime onnx-graphsurgeon onnxsim psutil sng4onnx ai-edge-litert==2.3.0
	touch $@

# Flower for the recipe fedtiny, on top of .venv: only Flower, Ray and their protobuf are its own.
federated: .venv-federated/installed
.venv-federated/installed: .venv/installed
	$(PYTHON) -m venv --without-pip .venv-federated
	beneath=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	own=$$(.venv-federated/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	echo "import site; site.addsitedir('$$beneath')" > "$$own/beneath.pth"
	$(BIN)/python -m pip --python .venv-federated/bin/python install --quiet --disable-pip-version-check "flwr[simulation]==1.41.0"
	touch $@

tflite-runtime: build/tflite-runtime/installed
build/tflite-runtime/installed:
	$(PYTHON) -m venv build/tflite-runtime
	build/tflite-runtime/bin/pip install --quiet --disable-pip-version-check tflite-runtime==2.14.0 "numpy<2"
	touch $@

# The demo app without models, and its tests on the JVM. `edgeprune app build RUN` puts a run's models into it.
app: .venv/installed debian
	$(BIN)/edgeprune app build -o build/app.apk

app-test: .venv/installed debian
	$(BIN)/pytest tests/android_demo

# The site, into build/site; any warning fails.
docs: .venv/installed
	$(BIN)/mkdocs build --strict

# What a release has to pass: the wheel in a fresh environment, its smoke test, the docs, the licences.
release-check: .venv/installed debian
	$(BIN)/pytest tests/release tests/docs

lint: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv .venv-federated .venv-onnx2tf build runs
