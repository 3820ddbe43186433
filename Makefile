# The tasks of nanospan. They need Python >= 3.10 with venv, Rust >= 1.85 with a C compiler, and make;
# everything else is installed from PyPI into .venv. Tests that send to a real Collector build it
# with Go >= 1.26, and are skipped where that is missing; those of `make viewers` also take Java 17,
# Maven and Chromium. CI calls `make check` and nothing else.

# The interpreter that .venv is made from. After another choice: `make clean` first.
PYTHON ?= python3
# The Pythons that the whole suite must pass on; those not found here are skipped with a note.
SUPPORTED := 3.10 3.11 3.12 3.13
# What `make check` and `make deep` ask of the core's tests, by name.
MIRI_SAMPLE ?= store::
MIRI_TESTS ?= store record attribute
LOOM_TESTS ?= --lib model::
# Where `make demo` sends its traces too: the URL of anything that takes OTLP over HTTP.
ENDPOINT ?=
# How long `make soak` makes spans.
SOAK_SECONDS ?= 120
# More words for pytest, as in `make test PYTEST_ARGS='-k fork -x'`.
PYTEST_ARGS ?=
# More words for the benchmark, as in `make bench BENCH_ARGS=--quick`.
BENCH_ARGS ?=
# The Python to measure on, as in `make bench VERSION=3.13`: in an environment of its own under target,
# so that .venv stays as it is. Without it, that of .venv.
VERSION ?=
# Which of contrib's suites, as in `make contrib CONTRIB_ARGS='flask grpc --provider nanospan'`.
CONTRIB_ARGS ?=

BIN := .venv/bin
# The environment that is measured in, and what says that it is ready for that.
BENCH := $(if $(VERSION),target/bench/$(VERSION),.venv)
BENCH_READY := $(BENCH)/$(if $(VERSION),.bench,.dev)
SOURCES := $(shell find src -name '*.rs') Cargo.toml $(wildcard Cargo.lock)
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.NOTPARALLEL:
# Kept between runs: `make` would delete what only pattern rules name.
.SECONDARY:

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: .venv/.built ## Run a small traced service and draw its slowest request; send to ENDPOINT=URL
	@$(BIN)/python examples/demo.py $(if $(ENDPOINT),--endpoint '$(ENDPOINT)')

.PHONY: dev
dev: .venv/.built .venv/.dev ## Build the extension into .venv, with all tools for working on it

.PHONY: test
test: core ## Tests of the core, then of the package on the default Python
	@$(MAKE) suite

.PHONY: core
core: ## Tests of the core crate, without Python
	cargo test --no-default-features

.PHONY: suite
suite: .venv/.built .venv/.dev ## Tests of the package on the default Python
	$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: lint
lint: .venv/.dev ## Format and clippy, with and without Python; ruff
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	cargo clippy --locked --all-targets -- -D warnings
	$(BIN)/ruff format --check
	$(BIN)/ruff check

.PHONY: format
format: .venv/.dev ## Write what `make lint` asks for, where a tool can
	cargo fmt
	cargo fmt --manifest-path fuzz/Cargo.toml
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: types
types: .venv/.built .venv/.dev ## The stubs against the extension; mypy and pyright, both strict
	$(BIN)/python -m mypy.stubtest --allowlist tests/allowlist.txt nanospan._core nanospan._data
	$(BIN)/python tests/stub_docstrings.py --check
	$(BIN)/mypy
	$(BIN)/pyright

.PHONY: bench
bench: release ## The cost of a span beside a reference in C and opentelemetry-sdk, built as for a release
	cargo bench --quiet --no-default-features --bench span --bench encode -- --quick
	$(BENCH)/bin/python benches/python/bench.py $(BENCH_ARGS)

# What has a target beside the floor, and nothing else: fails when one is missed by far.
.PHONY: bench-gate
bench-gate: release
	$(BENCH)/bin/python benches/python/bench.py --quick --gate

# The extension as for a release, and the floor, where the benchmarks find them.
.PHONY: release
release: $(BENCH_READY)
ifeq ($(VERSION),)
	$(BIN)/python -m pip install --quiet --group bench
	@rm -f .venv/.built
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/maturin develop --release
else
	rm -rf $(BENCH)/wheel
	PYO3_PYTHON=$(CURDIR)/$(BENCH)/bin/python CARGO_TARGET_DIR=target/py$(VERSION) $(BENCH)/bin/maturin build \
		--release --compatibility linux --interpreter $(BENCH)/bin/python --out $(BENCH)/wheel
	$(BENCH)/bin/python -m pip install --quiet --no-deps --force-reinstall $(BENCH)/wheel/*.whl
endif
	@$(MAKE) floor

.PHONY: contrib
contrib: .venv/.built ## The tests of OpenTelemetry's contrib packages, with the genuine SDK and with nanospan
	$(BIN)/python tests/contrib/run.py $(CONTRIB_ARGS)

.PHONY: contrib-sample
contrib-sample: .venv/.built
	$(BIN)/python tests/contrib/run.py --fast $(CONTRIB_ARGS)

.PHONY: soak
soak: .venv/.built .venv/.dev ## Two minutes of spans for a Collector that is killed twice meanwhile
	NANOSPAN_SOAK_SECONDS=$(SOAK_SECONDS) $(BIN)/python -m pytest tests/test_soak.py $(PYTEST_ARGS)

.PHONY: wheel
wheel: .venv/.dist ## A manylinux wheel and an sdist in dist/, each tried in an empty environment
	rm -rf dist
	PATH="$(CURDIR)/$(BIN):$$PATH" CARGO_TARGET_DIR=target/wheel $(BIN)/maturin build --release \
		--locked --zig --compatibility manylinux_2_17 --interpreter $(BIN)/python --out dist
	$(BIN)/maturin sdist --out dist
	$(BIN)/python tests/dist.py dist/*
	$(call try,$(CURDIR)/dist/*.whl --no-index)
	$(call try,$(CURDIR)/dist/*.tar.gz)

.PHONY: sdist
sdist: .venv/.dist
	rm -rf target/sdist
	$(BIN)/maturin sdist --out target/sdist
	$(BIN)/python tests/dist.py target/sdist/*

.PHONY: viewers
viewers: .venv/.built .venv/.dev ## The recipes of docs/viewers.md: takes Java, Maven, Go and Chromium
	NANOSPAN_VIEWERS=1 $(BIN)/python -m pytest tests/test_viewers.py $(PYTEST_ARGS)

.PHONY: check
check: ## What CI runs, in its order
	@$(MAKE) lint
	@$(MAKE) core
	@$(MAKE) types
	@$(MAKE) sdist
	@$(MAKE) miri MIRI_TESTS='$(MIRI_SAMPLE)'
	@$(MAKE) loom LOOM_MAX_PREEMPTIONS=2
	@$(MAKE) suites VERSIONS='$(firstword $(SUPPORTED_HERE)) $(lastword $(SUPPORTED_HERE))' EXAMPLES=sample
	@$(MAKE) suite PYTEST_ARGS='--hypothesis-profile=ci'
	@$(MAKE) contrib-sample
	@$(MAKE) soak
	@$(MAKE) bench-gate

.PHONY: deep
deep: ## The long checks: Miri, sanitizer, fuzzers, valgrind, Loom, 20,000 examples a property, every Python, contrib, viewers
	@$(MAKE) miri
	@$(MAKE) sanitize
	@$(MAKE) fuzz
	@$(MAKE) valgrind
	@$(MAKE) loom
	NANOSPAN_LONG=1 $(MAKE) suite PYTEST_ARGS=tests/test_references.py
	@$(MAKE) wheel
	@$(MAKE) suites VERSIONS='$(SUPPORTED_HERE)' EXAMPLES=ci
	@$(MAKE) suite PYTEST_ARGS='--hypothesis-profile=night --timeout=0 -o faulthandler_timeout=0'
	@$(MAKE) contrib
	@$(MAKE) viewers

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf .venv .venvs target fuzz/target dist python/nanospan/*.so

# Miri interprets the core and reports undefined behaviour. It knows no real clock or randomness,
# so isolation is off.
.PHONY: miri
miri:
	@if RUSTUP_AUTO_INSTALL=0 cargo +nightly miri --version >/dev/null 2>&1; then \
		set -x; \
		MIRIFLAGS=-Zmiri-disable-isolation CARGO_TARGET_DIR=target/miri \
			cargo +nightly miri test --no-default-features --lib -- $(MIRI_TESTS); \
	else \
		echo "note: Miri is not run: it takes rustup with 'rustup +nightly component add miri rust-src'"; \
	fi

# A fuzzer for each reader of headers, for FUZZ_SECONDS each; what it learns stays in fuzz/target. The
# flags are those of cargo-fuzz, which it does without.
FUZZERS := w3c baggage b3 jaeger ot datadog aws gcp instana
FUZZ_SECONDS ?= 7
FUZZ_FLAGS := -Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
.PHONY: fuzz
fuzz:
	@if RUSTUP_AUTO_INSTALL=0 cargo +nightly --version >/dev/null 2>&1; then \
		host=$$(rustc -vV | sed -n 's/host: //p'); \
		RUSTFLAGS='$(FUZZ_FLAGS)' cargo +nightly build --quiet --release --locked \
			--manifest-path fuzz/Cargo.toml --target $$host; \
		for fuzzer in $(FUZZERS); do \
			mkdir -p fuzz/target/corpus/$$fuzzer; \
			echo "fuzzing $$fuzzer for $(FUZZ_SECONDS) seconds"; \
			fuzz/target/$$host/release/$$fuzzer fuzz/target/corpus/$$fuzzer fuzz/corpus/$$fuzzer \
				-max_total_time=$(FUZZ_SECONDS) -max_len=1024 -print_final_stats=1 \
				-artifact_prefix=fuzz/target/$$fuzzer- >fuzz/target/log 2>&1 \
				|| { cat fuzz/target/log; exit 1; }; \
			grep number_of_executed_units fuzz/target/log; \
		done; \
	else \
		echo "note: the fuzzers are not run: they take rustup with 'rustup toolchain install nightly'"; \
	fi

# The core's tests under AddressSanitizer, where a nightly compiler is. Tracers and their scopes live as
# long as the program, which would be called a leak.
.PHONY: sanitize
sanitize:
	@if RUSTUP_AUTO_INSTALL=0 cargo +nightly --version >/dev/null 2>&1; then \
		set -x; \
		ASAN_OPTIONS=detect_leaks=0 \
		RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=target/asan cargo +nightly test \
			--no-default-features --lib --test core --target "$$(rustc -vV | sed -n 's/host: //p')"; \
	else \
		echo "note: AddressSanitizer is not run: it takes rustup's nightly toolchain"; \
	fi

# A part of the suite under valgrind, where that is: reads and writes of memory that is not there.
# Each allocation goes to malloc, so that valgrind sees it end.
VALGRIND_TESTS ?= tests/test_span.py tests/test_active_span.py tests/test_record_error.py
.PHONY: valgrind
valgrind: .venv/.built .venv/.dev
	@if command -v valgrind >/dev/null; then \
		set -x; \
		PYTHONMALLOC=malloc valgrind --quiet --leak-check=no --undef-value-errors=no \
			--suppressions=tests/valgrind.supp \
			--error-exitcode=9 $(BIN)/python -m pytest -p no:randomly --timeout=0 \
			-o faulthandler_timeout=0 --hypothesis-profile=valgrind $(VALGRIND_TESTS); \
	else \
		echo "note: valgrind is not run: it is not installed"; \
	fi

# Every interleaving of the threads that hand spans over; with LOOM_MAX_PREEMPTIONS, those in which
# a thread is interrupted that often at most.
.PHONY: loom
loom:
	CARGO_TARGET_DIR=target/loom RUSTFLAGS='--cfg nanospan_loom' cargo test --no-default-features $(LOOM_TESTS)

# What nanospan is measured against: see benches/floor/floor.c.
.PHONY: floor
floor: $(BENCH_READY)
	@if [ "$$(uname -sm)" = 'Linux x86_64' ] && [ -f '$(PYTHON_HEADERS)/Python.h' ]; then \
		$(MAKE) target/floor/floor$(call config,EXT_SUFFIX); \
		$(BENCH)/bin/python -m pytest --quiet benches/floor; \
	else \
		echo "note: the floor is not built: it takes Linux on x86-64 and Python's headers"; \
	fi

target/floor/floor.%: $(wildcard benches/floor/*.[ch]) $(BENCH_READY)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O3 -Wall -Wextra -Wno-missing-field-initializers -fPIC -shared \
		-ftls-model=initial-exec -I$(PYTHON_HEADERS) benches/floor/floor.c -o $@ -lpthread

# The suite on each of VERSIONS but the default Python, which `suite` is for.
.PHONY: suites
suites: .venv/.python
	@for version in $(filter-out $(SUPPORTED_HERE),$(SUPPORTED)); do \
		echo "note: no Python $$version here, so its suite is not run"; \
	done
	@for version in $$(tr ' ' '\n' <<<'$(VERSIONS)' | sort -uV); do \
		[ "$$version" = "$$(cat .venv/.python)" ] || $(MAKE) suite-$$version; \
	done

# What the comparison with the SDK finds is the same on every Python.
suite-%: .venvs/%/.built
	.venvs/$*/bin/python -m pytest --hypothesis-profile=$(EXAMPLES) --ignore=tests/otel/test_comparison.py

# The extension in each environment. Its file name carries the Python version, so all of them live
# side by side in python/nanospan; a target directory each keeps cargo from building PyO3 anew.
.venv/.built: .venv/.build $(SOURCES)
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/maturin develop --profile checked
	@touch $@

.venvs/%/.built: .venvs/%/.test $(SOURCES)
	PYO3_PYTHON=$(CURDIR)/.venvs/$*/bin/python CARGO_TARGET_DIR=target/py$* \
		VIRTUAL_ENV=$(CURDIR)/.venvs/$* .venvs/$*/bin/maturin develop --profile checked
	@touch $@

# What the Python that is measured on says of itself.
config = $(shell $(BENCH)/bin/python -c 'import sysconfig; print(sysconfig.get_config_var("$(1)"))')
PYTHON_HEADERS = $(call config,INCLUDEPY)

# Environments, and in them the dependency groups of pyproject.toml. Groups take pip 25.1.
.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "nanospan needs Python 3.10 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1,<27'
	@$(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' >$@

.venv/.build: .venv/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --group build
	@touch $@

.venv/.dev: .venv/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --group build --group test --group otel \
		--group propagators --group check
	@touch $@

.venv/.dist: .venv/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --group build --group dist
	@touch $@

.venvs/%/.python:
	$(call python,$*) -m venv --clear .venvs/$*
	.venvs/$*/bin/python -m pip install --quiet --upgrade 'pip>=25.1,<27'
	@touch $@

.venvs/%/.test: .venvs/%/.python pyproject.toml
	.venvs/$*/bin/python -m pip install --quiet --group build --group test
	@touch $@

target/bench/%/.python:
	@[ -n '$(call python,$*)' ] || { echo "no Python $* here"; exit 1; }
	$(call python,$*) -m venv --clear target/bench/$*
	target/bench/$*/bin/python -m pip install --quiet --upgrade 'pip>=25.1,<27'
	@touch $@

target/bench/%/.bench: target/bench/%/.python pyproject.toml
	target/bench/$*/bin/python -m pip install --quiet --group build --group test --group bench --group otel
	@touch $@

# Installs a distribution into an empty environment away from these files, and tries it there.
define try
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(BIN)/python -m venv "$$folder"; \
	cd "$$folder"; \
	echo "trying $(1)"; \
	env -u PYO3_PYTHON bin/python -m pip install --quiet $(1); \
	bin/python -I $(CURDIR)/tests/smoke.py
endef

# The interpreter of a version, from PATH or from pyenv; empty if neither has it.
python = $(shell for python in python$(1) "$$(pyenv prefix $(1) 2>/dev/null)/bin/python"; do \
	"$$python" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(1)")' 2>/dev/null \
		&& echo "$$python" && break; done)
SUPPORTED_HERE = $(foreach version,$(SUPPORTED),$(if $(call python,$(version)),$(version)))
