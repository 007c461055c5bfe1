# Two commands do all set-up on a fresh Debian or Ubuntu machine:
#   make run    serve in the foreground
#   make test   the unit and functional suites, no root needed

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=
SUITES := tests.plugin tests.admin tests.crash tests.journal tests.volumes tests.backends tests.daemon tests.cli \
          tests.examples tests.fuzz tests.test_configuration tests.test_imports tests.test_processes tests.test_tap
TRIAL  := $(BIN)/trial --rterrors --temp-directory

# As root the daemon's own defaults are right; anybody else gets directories at home.
HOME_DIR := $(HOME)/.local/share/exampledriver
ifneq ($(shell id -u),0)
USER_ARGS := --root=$(HOME_DIR)/volumes --state=$(HOME_DIR)/state --runtime=$(HOME_DIR)/run \
             --listen=unix:$(HOME_DIR)/exampledriver.sock
endif

.PHONY: run test test-unit test-functional test-engine lint dist managed-plugin api clean \
        torture copies-killed tasks-killed soak crash mutations fuzz damage-table scale bench bench-check

run: $(VENV)/.run
	exec $(BIN)/twistd -n --pidfile= exampledriver $(USER_ARGS) $(ARGS)

test: test-unit test-functional

test-unit: $(VENV)/.test
	$(TRIAL) _trial_temp.unit $(SUITES)

test-functional: $(VENV)/.test
	$(TRIAL) _trial_temp.functional tests.functional

test-engine: $(VENV)/.test
	sh .ci/install-engines
	$(TRIAL) _trial_temp.engine tests.engine tests.benchmarks

# The reference of the plugin helper; a link or a parameter that is not there is an error.
api: $(VENV)/.test
	$(BIN)/pydoctor --quiet --html-output=build/api exampledriver/plugin

lint: $(VENV)/.test api
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy exampledriver tests benchmarks twisted/plugins/exampledriver_dropin.py setup.py tap/managed examples
	sh .ci/check-dist $(BIN)/python

# The long runs behind the figures of docs/durability.md.
KILLS ?= 500
STEPS ?= 20000
REQUESTS ?= 200000
INPUTS ?= 1000000
SEED ?= 1

torture: $(VENV)/.test
	$(BIN)/python -m tests.functional.torture --kills $(KILLS)

copies-killed: $(VENV)/.test
	$(BIN)/python -m tests.functional.copying --kills $(KILLS)

# As root, for the loop devices; so many kills during each of 16 kinds of work.
tasks-killed: $(VENV)/.test
	$(BIN)/python -m tests.functional.tasks --kills $(KILLS)

soak: $(VENV)/.test
	$(BIN)/python -m tests.functional.soak --requests $(REQUESTS)

crash: $(VENV)/.test
	$(BIN)/python -m tests.crash.deep --steps $(STEPS)

mutations: $(VENV)/.test
	$(BIN)/python -m tests.mutations

# Hostile archives, mountinfo, options and request heads; bounded, and the same again for a seed.
fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzz --inputs $(INPUTS) --seed $(SEED)

damage-table: $(VENV)/.test
	$(BIN)/python -m tests.journal.damage

scale: $(VENV)/.test
	$(BIN)/python -m benchmarks.scale

# The figures of docs/performance.md; as root, for the engine.
REPS ?= 5
ONLY ?=
QUICK ?=
WRITE_DOCS ?=

bench: build/bench-venv/.run
	sh benchmarks/install build/bench-venv/bin/pip
	build/bench-venv/bin/python -m compileall -q exampledriver twisted # as pip does, unless editable
	build/bench-venv/bin/python -m benchmarks.bench --reps=$(REPS) $(if $(ONLY),--only=$(ONLY)) \
	    $(if $(QUICK),--quick) $(if $(WRITE_DOCS),--write-docs)

# Function calls for each request, against recorded figures: no clock, so any machine will do.
bench-check: $(VENV)/.test
	$(BIN)/python -m benchmarks.check

# What make run installs, without the packages of tests and TLS, which cost a start and memory.
build/bench-venv/.run: setup.py requirements.lock
	$(PYTHON) -m venv build/bench-venv
	build/bench-venv/bin/pip install --quiet --constraint requirements.lock --editable .
	@touch $@

dist: $(VENV)/.test
	$(BIN)/python -m build --outdir dist .

# A plugin for docker plugin create; docs/managed-plugin.md.
managed-plugin: $(VENV)/.test
	rm -rf build/wheel build/managed-plugin
	@mkdir -p build
	$(BIN)/python -m build --outdir build/wheel . >build/wheel.log 2>&1 || { cat build/wheel.log; exit 1; }
	$(BIN)/python tap/managed/build.py --wheel build/wheel/*.whl --output build/managed-plugin

$(BIN)/python:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || sh .ci/install-venv
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python setup.py requirements.lock
	$(BIN)/pip install --quiet --constraint requirements.lock --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/pip install --quiet --requirement requirements.lock
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info _trial_temp* .mypy_cache .ruff_cache .hypothesis
