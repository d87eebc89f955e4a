# One command each: `make test` sets up and tests, `make demo` sets up and shows the main job.
# Both need root (namespaces, mounts, nftables) on Debian or Ubuntu.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: help test quick lint format lock apt venv demo bench clean

VENV := .venv
PYTHON ?= python3
PYTEST_ARGS ?=

# What the engine itself needs, then what the tests and the demo need beside it.
ENGINE_PACKAGES := crun conmon aardvark-dns nftables libnftables1 iproute2 iptables \
	golang-github-containers-common ca-certificates
SHARED_PACKAGES := python3 python3-venv busybox-static mmdebstrap docker-registry skopeo util-linux
TEST_PACKAGES := umoci docker.io podman
BENCH_PACKAGES := docker.io docker-compose podman

# Missing packages only, so that a second run costs no network: $(call install,PACKAGES)
define install
	@missing=$$(for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null \
		| grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		echo "installing:" $$missing; \
		apt-get -qq update && \
		DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -y install --no-install-recommends \
			$$missing >/dev/null; \
	fi
endef

help:
	@echo "make demo    set up this machine and run the main job (examples/pair)"
	@echo "make test    set up and run every check and test, as CI does"
	@echo "make quick   lint, types and the tests that need no root"
	@echo "make lint    ruff and mypy; 'make format' mends what can be mended"
	@echo "make bench   measure trueup beside its peers into docs/benchmarks.md"
	@echo "make lock    pin the newest allowed dependencies into requirements.lock"

test: apt-test venv
	$(MAKE) --no-print-directory lint
	$(VENV)/bin/pytest tests/test_arrows.py tests/test_import_budget.py -q
	$(VENV)/bin/pytest -m "not slow and not sweep" $(PYTEST_ARGS)
	$(VENV)/bin/pytest -m "slow or sweep" $(PYTEST_ARGS)

quick: venv lint
	$(VENV)/bin/pytest -m "not root and not slow and not sweep" $(PYTEST_ARGS)

lint: venv
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: venv
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

.PHONY: apt-engine apt-test apt-bench
apt-engine:
	$(call install,$(ENGINE_PACKAGES) $(SHARED_PACKAGES))
apt-test:
	$(call install,$(ENGINE_PACKAGES) $(SHARED_PACKAGES) $(TEST_PACKAGES))
apt-bench:
	$(call install,$(ENGINE_PACKAGES) $(SHARED_PACKAGES) $(BENCH_PACKAGES))

venv: $(VENV)/.complete
$(VENV)/.complete: requirements.lock pyproject.toml
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement requirements.lock
	$(VENV)/bin/pip install --quiet --no-deps --editable .
	@touch $@

# In an environment of its own, so that nothing but the declared dependencies is pinned.
lock:
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && \
	$(PYTHON) -m venv "$$tmp" && "$$tmp/bin/pip" install --quiet --editable '.[dev,bench]' && \
	{ echo "# Every dependency, pinned. Made by 'make lock'; do not edit."; \
	  "$$tmp/bin/pip" freeze --exclude-editable; } > requirements.lock
	@wc -l requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
