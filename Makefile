# Every target is self-sufficient: on a fresh machine it installs what it needs first. ARGS= passes options on.
.DEFAULT_GOAL := help
.PHONY: help install demo warm test test-browser test-docs test-monitoring pictures chromium docs lint type format bench chaos soak pretrain clean

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
BENCH := .venv/.bench
DOCS := .venv/.docs
ARGS ?=

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv with all that demo and tests need

$(INSTALLED): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Tidecast needs Python 3.11 to 3.13; name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "installing into .venv, which takes a minute or two …" >&2  # standard output is the target's own
	@"$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED) ## train on real series, replay the rest through a real worker, retrain, watch (ARGS=--json)
	@$(BIN)/tidecast demo $(ARGS)

# Without bytecode on disk each process of the suite would compile all sources, and rewrite all assertions, anew.
unexport PYTHONDONTWRITEBYTECODE

# Compiled once, before several processes begin together, or a time limit of a test begins.
warm: $(INSTALLED)
	@$(BIN)/python -c 'from worker.compiling import warm; warm()'

test: $(INSTALLED) warm ## run the test suite (ARGS='-k name')
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-monitoring: $(INSTALLED) warm ## test the alerts and the dashboard with a real Prometheus, and notifications with an Alertmanager
	@if ! command -v promtool >/dev/null || ! command -v prometheus >/dev/null || ! command -v prometheus-alertmanager >/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends prometheus prometheus-alertmanager; \
	  else \
	    echo "prometheus, promtool or prometheus-alertmanager is missing: install them (on Debian the packages prometheus" \
	      "and prometheus-alertmanager, as root), then try again" >&2; \
	    exit 2; \
	  fi; \
	fi
	$(BIN)/python -m pytest -m monitoring tests/monitoring $(ARGS)

test-browser: $(INSTALLED) warm chromium ## drive the dashboard in a real Chromium (ARGS='-k name')
	$(BIN)/python -m pytest -m browser tests/browser $(ARGS)

pictures: $(INSTALLED) warm chromium ## take the dashboard's pictures in docs/images again
	$(BIN)/python -m pytest -m browser tests/browser/test_pictures.py --pictures docs/images $(ARGS)

chromium:
ifeq ($(shell command -v chromium || command -v chromium-browser || command -v google-chrome),)
	@command -v apt-get >/dev/null || { echo "the dashboard's tests need Chromium: install it with your system's packages" >&2; exit 2; }
	apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
endif

lint: $(INSTALLED) ## check style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(INSTALLED) ## apply the style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

type: $(INSTALLED) ## check types
	$(BIN)/mypy

$(BENCH): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

bench: $(BENCH) ## run every benchmark (ARGS='training --json' for one)
	@$(BIN)/python -m benchmarks $(ARGS)

chaos: $(INSTALLED) warm ## break workers, Redis and the wire, verify every forecast (ARGS='--minutes 10 --json', '--kills 20 --json')
	@$(BIN)/python -m tests.chaos $(ARGS)

soak: $(INSTALLED) warm ## stream steadily for minutes and watch the memory (ARGS='--minutes 15 --rate 500 --json')
	@$(BIN)/python -m tests.chaos.soak $(ARGS)

pretrain: $(INSTALLED) ## train the network for every series again, which ships with the package (ARGS='--out FILE --windows 60000')
	@$(BIN)/python -m trainer.pretrain $(ARGS)

$(DOCS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(DOCS) ## build the site of the documents in out/site, strictly
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict $(ARGS) && echo "open out/site/index.html"

REDIGO := /usr/share/gocode/src/github.com/gomodule/redigo

test-docs: $(DOCS) warm ## run what README, tutorial, notebook and clients show
	@if ! command -v node >/dev/null || ! command -v npm >/dev/null || ! command -v go >/dev/null || [ ! -d $(REDIGO) ]; then \
	  if [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then \
	    command -v npm >/dev/null || more="nodejs npm"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
	      golang-go golang-github-gomodule-redigo-dev $$more; \
	  else \
	    echo "node, npm, go or redigo is missing: install them (on Debian the packages nodejs, npm, golang-go and" \
	      "golang-github-gomodule-redigo-dev, as root), then try again" >&2; \
	    exit 2; \
	  fi; \
	fi
	@# In the order of the file the two long ones, tutorial and README, fall to two processes.
	$(BIN)/python -m pytest -n 2 --dist worksteal -m documents tests/documents/test_run.py tests/documents $(ARGS)

clean: ## remove what the targets made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis out
