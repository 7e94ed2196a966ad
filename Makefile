# Everything here needs Python 3.11 or newer with venv, make and a network; nothing is installed outside .venv.
#
#   make demo     install cerebelum into .venv and run the deployment of examples/deploy
#   make test     formatting, lint, types and all tests: what has to pass
#   make chaos    crash tests by the hundred, then minutes of a monkey that kills runners (CHAOS_ROUNDS, CHAOS_MINUTES)
#   make lint     the same without the tests
#   make format   put the code into its format
#   make binary   build dist/cerebelum, the program in one file (names what the machine lacks for that)
#   make binary-service  the same as dist/cerebelum-service, with gRPC in it
#   make smoke    build it and use it as a user would
#   make smoke-service  the same with dist/cerebelum-service, as far as it differs
#   make test-binary  run the end-to-end and crash tests against dist/cerebelum (CEREBELUM_BIN names another)
#   make elsewhere  run it on older and on other distributions (root and debootstrap)
#   make bench    measure everything beside what others take (SCENARIO='startup chains', BENCH_FLAGS=--quick)
#   make bench-check  count instructions, and compare them with the recorded ones (needs valgrind)
#   make proto    write the Python code of proto/ anew
#   make lock     write the requirement locks anew from pyproject.toml (LOCK_FLAGS=--upgrade takes newer versions)
#   make clean    remove .venv, dist and the caches
#
# `make PYTHON=/path/to/python3.12 demo` picks the interpreter, `make test PYTEST_FLAGS='-k resume'` the tests.

PYTHON ?= python3
PYTEST_FLAGS ?= -n 4
LOCK_FLAGS ?=
CHAOS_ROUNDS ?= 200
CHAOS_MINUTES ?= 5
SCENARIO ?=
BENCH_FLAGS ?=

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo bench bench-check test chaos lint format lock clean venv dev proto binary binary-service smoke smoke-service test-binary elsewhere same-bytes

# The environment of whoever calls make must not reach into .venv.
unexport PYTHONHOME PYTHONPATH PYTHONSTARTUP PIP_PREFIX PIP_TARGET PIP_USER PIP_NO_BINARY __PYVENV_LAUNCHER__
export PYTHONNOUSERSITE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP_INSTALL := $(BIN)/python -m pip install --quiet
# What gets checked: the package, the tests, and what builds the binary.
TYPED := cerebelum tests benchmarks $(wildcard build/*.py build/smoked/*.py build/frozen/*.py build/frozen/cerebelum_frozen/*.py)

help:
	@sed -n 's/^#   //p' Makefile

demo: .venv/.installed
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/deploy/demo.sh

# The second run is without what makes starting fast (cerebelum/start/tricks.py): the answers have to be the same.
test: lint
	$(BIN)/python -m pytest $(PYTEST_FLAGS)
	CEREBELUM_WITHOUT=all $(BIN)/python -m pytest $(PYTEST_FLAGS) tests/cli tests/plugins tests/examples \
	  tests/lifecycle || [ $$? = 5 ]

chaos: dev
	CEREBELUM_CHAOS_ROUNDS=$(CHAOS_ROUNDS) $(BIN)/python -m pytest $(PYTEST_FLAGS) tests/crash
	CEREBELUM_CHAOS_POOL=1 $(BIN)/python -m pytest $(PYTEST_FLAGS) tests/crash -k 'postgres or far or own'
	$(BIN)/python -m tests.crash.monkey --minutes $(CHAOS_MINUTES)
	$(BIN)/python -m tests.crash.monkey --minutes $(CHAOS_MINUTES) --postgres

lint: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(TYPED)

format: dev
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

# `.venv` with the package in it, and with the tools for working on it.
venv: .venv/.installed
dev: .venv/.dev

# The stamps are newer than the locks they were made from, so that a second call does nothing.
.venv/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "cerebelum needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1)." >&2; \
	  echo "Name another interpreter: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "creating .venv"
	@$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/.installed: .venv/.created requirements.lock requirements-build.lock pyproject.toml
	@echo "installing requirements.lock and cerebelum"
	@$(PIP_INSTALL) --require-hashes -r requirements.lock
	@$(PIP_INSTALL) --require-hashes -r requirements-build.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.installed requirements-dev.lock
	@echo "installing requirements-dev.lock"
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

# One lock constrains the next, so that a package has the same version in all of them. Neither the environment nor a
# configuration file has a say about where packages come from: the hashes of every platform's wheels get listed.
COMPILE := env -u UV_INDEX -u UV_INDEX_URL -u UV_DEFAULT_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS -u UV_NO_BINARY \
  -u UV_ONLY_BINARY $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
  --custom-compile-command "make lock" $(LOCK_FLAGS)

lock: .venv/.created
	@test -x $(BIN)/uv || $(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	$(COMPILE) -o requirements.lock pyproject.toml
	$(COMPILE) -o requirements-build.lock --group build -c requirements.lock
	$(COMPILE) -o requirements-dev.lock pyproject.toml --group dev --all-extras -c requirements.lock -c requirements-build.lock

# The binary is measured too where dist/cerebelum is there; what else is measured beside is installed into a cache.
bench: dev
	$(BIN)/python -m benchmarks $(BENCH_FLAGS) $(SCENARIO)

bench-check: dev
	$(BIN)/python -m benchmarks.check $(BENCH_FLAGS)

# The messages of the gRPC services.
proto: dev
	$(BIN)/python -m grpc_tools.protoc -I proto --python_out=. --pyi_out=. proto/cerebelum/wire/*.proto

binary: dev
	$(BIN)/python -B build/binary.py $(BINARY_FLAGS)

binary-service: dev
	CEREBELUM_FILE=cerebelum-service $(BIN)/python -B build/binary.py $(BINARY_FLAGS)

smoke: binary
	$(BIN)/python -B build/smoke.py dist/cerebelum

smoke-service: binary-service
	$(BIN)/python -B build/smoke.py dist/cerebelum-service it_serves says_what_it_is

# The suites whose tests start the program, without the two files that drive only the store and the engine, and without
# the release, which `make smoke` goes through.
END_TO_END := tests/cli tests/lifecycle tests/examples tests/crash \
  tests/binary/test_users_python.py tests/binary/test_papers.py tests/binary/test_same_bytes.py \
  --ignore=tests/crash/test_model.py --ignore=tests/crash/test_power_cut.py \
  --deselect=tests/examples/test_release.py::test_the_pipeline_makes_a_release
CEREBELUM_BIN ?= dist/cerebelum

test-binary: dev
	@test -x "$(CEREBELUM_BIN)" || { echo "$(CEREBELUM_BIN) is not there; \`make binary\` builds it" >&2; exit 1; }
	CEREBELUM_BIN="$(CEREBELUM_BIN)" $(BIN)/python -m pytest $(PYTEST_FLAGS) $(END_TO_END)

elsewhere: dev
	$(BIN)/python -B build/elsewhere.py dist/cerebelum

# Two builds of what is committed have to be the same; it is part of `make test-binary`.
same-bytes: binary
	CEREBELUM_BIN=dist/cerebelum $(BIN)/python -m pytest tests/binary/test_same_bytes.py

clean:
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find cerebelum tests -name __pycache__ -type d -prune -exec rm -rf {} +
