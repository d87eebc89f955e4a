# One command each: `make test` sets up and tests, `make demo` sets up and shows the main job.
# Both need root (namespaces, mounts, nftables) on Debian 12, Ubuntu 24.04 or newer.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: help test sweep test-vm quick lint format lock venv demo bench bench-edits bench-images clean packages

VENV := .venv
PYTHON ?= python3
PYTEST_ARGS ?=

# What the engine itself needs, then what tests, demo and benchmarks need beside it.
ENGINE_PACKAGES := crun conmon aardvark-dns nftables libnftables1 iproute2 iptables \
	golang-github-containers-common ca-certificates
IMAGE_PACKAGES := busybox-static mmdebstrap docker-registry skopeo util-linux
TEST_PACKAGES := umoci docker.io podman
VM_PACKAGES := qemu-system-x86 mmdebstrap e2fsprogs debian-archive-keyring
BENCH_PACKAGES := docker.io docker-compose podman
PYTHON_PACKAGES := python3 python3-venv

help:
	@echo "make demo    set up this machine and run the main job (EXAMPLE=pair, shop, site, job)"
	@echo "make test    set up and run every check and test, as CI does"
	@echo "make sweep   the tests that repeat a scenario at every moment, about five minutes"
	@echo "make test-vm boot Debian (systemd, cgroup v2) in qemu and run the scenario tests there"
	@echo "make quick   lint, types and the tests that need no root"
	@echo "make lint    ruff and mypy; 'make format' mends what can be mended"
	@echo "make bench   measure trueup beside its peers into docs/benchmarks.md"
	@echo "make bench-edits  edit a running shop with trueup and docker-compose, into docs/edits.md"
	@echo "make bench-images  pull, save and load images beside docker and podman, into docs/benchmarks-images.md"
	@echo "make lock    pin the newest allowed dependencies into requirements.lock"
	@echo "make clean   remove the environment and the caches of the tools"

# Quick tests come first in the run, then the slow ones (tests/conftest.py).
test: PACKAGES := $(ENGINE_PACKAGES) $(IMAGE_PACKAGES) $(TEST_PACKAGES) $(PYTHON_PACKAGES)
test: packages lint
	$(VENV)/bin/pytest -m "not sweep" $(PYTEST_ARGS)

# Kills at every moment, random input for longer, cycles by the hundred: docs/sweeps.md has the last results.
sweep: PACKAGES := $(ENGINE_PACKAGES) $(IMAGE_PACKAGES) $(TEST_PACKAGES) $(PYTHON_PACKAGES)
sweep: packages venv
	$(VENV)/bin/pytest -m sweep $(PYTEST_ARGS)

quick: lint
	$(VENV)/bin/pytest -m "not root and not slow and not sweep" $(PYTEST_ARGS)

lint: venv
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: venv
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# Settings: EXAMPLE= what to run (pair), ROOT= another instance root, PORT= the published port,
# KEEP=1 to leave it running.
demo: PACKAGES := $(ENGINE_PACKAGES) $(IMAGE_PACKAGES) $(PYTHON_PACKAGES)
demo: packages venv
	@examples/demo

# Settings: PART= smoke (minutes, CI runs it) or scenarios (more than an hour).
PART ?= scenarios
test-vm: PACKAGES := $(VM_PACKAGES) $(IMAGE_PACKAGES) $(PYTHON_PACKAGES)
test-vm: packages venv
	$(VENV)/bin/python -m tests.vm $(PART) $(PYTEST_ARGS)

bench: PACKAGES := $(ENGINE_PACKAGES) $(IMAGE_PACKAGES) $(BENCH_PACKAGES) $(PYTHON_PACKAGES)
bench: packages venv
	$(VENV)/bin/python -m benchmarks --write docs/benchmarks.md $(BENCH_ARGS)

bench-edits: PACKAGES := $(ENGINE_PACKAGES) $(IMAGE_PACKAGES) $(BENCH_PACKAGES) $(PYTHON_PACKAGES)
bench-edits: packages venv
	$(VENV)/bin/python -m benchmarks.edits --write

bench-images: PACKAGES := $(ENGINE_PACKAGES) $(IMAGE_PACKAGES) $(BENCH_PACKAGES) $(PYTHON_PACKAGES)
bench-images: packages venv
	$(VENV)/bin/python -m benchmarks.images --write docs/benchmarks-images.md $(BENCH_ARGS)

packages:
	@.ci/packages $(PACKAGES)

venv: $(VENV)/complete
$(VENV)/complete: requirements.lock pyproject.toml | packages
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# In an environment of its own, so that nothing but the declared dependencies is pinned.
lock:
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && \
	$(PYTHON) -m venv "$$tmp" && "$$tmp/bin/pip" install --quiet --editable '.[dev,bench]' && \
	{ echo "# Every dependency, pinned. Made by 'make lock'; do not edit."; \
	  "$$tmp/bin/pip" freeze --exclude-editable | \
	  sed 's/^backports\.zstd.*/&; python_version < "3.14"/'; } > requirements.lock
	@wc -l requirements.lock

clean:
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
