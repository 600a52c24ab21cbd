# Each target does all of its own set-up: the virtual environment, and a database server where none is.

VENV := .venv
COMPILED := .venv-compiled
DEMO_SECONDS ?= 30
MINUTES ?= 5
export DEMO_SECONDS

.PHONY: demo test test-compiled torture lint bench soak mysql playground clean help

help:
	@echo "make demo        watch money move over three servers while things are killed (DEMO_SECONDS=$(DEMO_SECONDS))"
	@echo "make test        all tests, on MariaDB and, where 'make mysql' has unpacked it, on MySQL"
	@echo "make test-compiled  tests that drive whole servers, on the packages as they are installed: compiled"
	@echo "make torture     workloads and faults on a whole cluster, every history checked (MINUTES=$(MINUTES))"
	@echo "make lint        ruff, mypy --strict, import-linter"
	@echo "make bench       speed against plain servers, HAProxy and XA; writes bench.json"
	@echo "make soak        a steady load for MINUTES=$(MINUTES): the history stays bounded, the rate is kept"
	@echo "make playground  three servers and the proxy on 127.0.0.1:4000, until Ctrl-C"
	@echo "make mysql       unpack MySQL beside MariaDB (Debian, as root)"
	@echo "make clean       remove what the others made here"

demo: $(VENV)/.installed
	@scripts/ensure_servers.sh demo
	@$(VENV)/bin/txguard demo --seconds $(DEMO_SECONDS)

playground: $(VENV)/.installed
	@scripts/ensure_servers.sh playground
	@$(VENV)/bin/txguard playground

soak: $(COMPILED)/.installed
	@scripts/ensure_servers.sh bench
	@$(COMPILED)/bin/txguard soak --minutes $(MINUTES) $(SOAK_ARGS)

bench: $(COMPILED)/.installed
	@scripts/ensure_servers.sh bench
	@$(COMPILED)/bin/txguard bench $(BENCH_ARGS)

test: $(VENV)/.installed-dev
	@scripts/ensure_servers.sh test
	@$(VENV)/bin/python -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# Over real sockets, with kills and cancellations. Unit tests stay away: compiled classes take no fakes.
COMPILED_TESTS ?= tests/integration/test_proxy_*.py tests/integration/test_front_protocol.py \
	tests/integration/test_backend_*.py tests/integration/test_engine_trouble.py tests/integration/test_workers.py \
	tests/integration/test_deadlocks.py tests/integration/test_time_travel.py tests/crash
test-compiled: $(COMPILED)/.installed
	@scripts/ensure_servers.sh test
	@$(COMPILED)/bin/python -P -c "import proxy.server.front as m; m.__file__.endswith('.so') or exit('not compiled')"
	@$(COMPILED)/bin/python -P -m pytest -q -n 3 --dist loadfile -o pythonpath= --server mariadb $(COMPILED_TESTS)

torture: $(VENV)/.installed
	@scripts/ensure_servers.sh torture
	@$(VENV)/bin/python -m tests.torture --minutes $(MINUTES) $(TORTURE_ARGS)

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

mysql:
	@scripts/make_mysql.sh

clean:
	rm -rf $(VENV) $(COMPILED) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench.json
	find proxy txguard tso tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: made anew when pyproject.toml is newer. A failed install leaves none.
$(VENV)/.installed: pyproject.toml scripts/make_venv.sh
	@scripts/make_venv.sh $(VENV)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml scripts/make_venv.sh
	@scripts/make_venv.sh $(VENV) dev
	@touch $@ $(VENV)/.installed

$(COMPILED)/.installed: pyproject.toml scripts/make_venv.sh scripts/compile_hook.py $(shell find proxy txguard tso -name '*.py')
	@scripts/make_venv.sh $(COMPILED) test compiled
	@touch $@
