# make demo: real data, a server, and the first notebook run against it. make test: everything that is checked.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
SOAK_SECONDS ?= 3600
SEED ?= 1000
# three on two cores: half of a test is waiting; with four, a JupyterLab beside others is too slow for its test
PARALLEL ?= -n 3 --dist loadfile --no-loadscope-reorder
FOREIGN := test_readme.py browser connection/test_dialect.py simulation test_binder.py end_to_end/test_random_sql.py
SLOW := $(FOREIGN) \
	end_to_end/test_crash_points.py end_to_end/test_power_loss.py end_to_end/test_stopped_pull.py \
	end_to_end/test_wide_tables.py jupyter/test_kernel_versions.py jupyter/test_kernel_widgets.py \
	jupyter/test_magic_kernel.py huge test_notebooks.py test_docs.py test_packaging.py
NOT_RANDOM := -m 'not hypothesis'
# parameter sets of one test that test-fast runs
MEMBERS_MAX := 3
BIN := .venv/bin
READY := .venv/.ready
VENV = $(dir $(READY)).made
READY_FOR_DEMO = $(dir $(READY)).ready-for-demo
# what shows the data needs a third of the packages that the tests need
READY_TO_SHOW = $(if $(wildcard $(READY)),$(READY),$(READY_FOR_DEMO))
LOCKED ?=
PEERS := tests/node_modules/.package-lock.json
FLIGHTS := .demo/nycflights.db
PROTO := turso_sync_nb/protocol/pull_updates.proto

PYTHONS := python3.11 python3.12 python3.13 python3.14

# pip compiles nothing, as most of it is never imported: the first import compiles, and keeps what it made
export PIP_NO_COMPILE := 1
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo lab test test-fast soak lint types proto mutations bench bench-large pictures docs matrix lock audit

help:
	@echo "make demo         run notebooks/01_first_replica.ipynb on real data, print its results"
	@echo "make lab          the same data in JupyterLab"
	@echo "make test         lint, types, layering, tests; PARALLEL=: one process"
	@echo "make test-fast    three of each table of tests, one server; no browser, kernels, Binder, site, random work, crashes"
	@echo "make soak         simulated replicas under faults for an hour, mutations, random SQL; SOAK_SECONDS=, SEED="
	@echo "make mutations    take fixes out one by one: does the simulation see it?"
	@echo "make bench        speed, side by side with pyturso on one tursodb, into docs/bench.md; CASES='wire scan': parts"
	@echo "make bench-large  2 GB: memory while bootstrapping, speed of a pull; 10 GB: a lookup (21 GB of disk)"
	@echo "make pictures     the README's pictures of the widgets, from a JupyterLab in Chromium"
	@echo "make docs         the site, into .site: tutorial (notebooks run), how-tos, reference, explanation"
	@echo "make lint         ruff and mypy alone"
	@echo "make matrix       types and most tests with each Python from 3.11 to 3.14 that this machine has"
	@echo "make lock         name every package of CI with its hashes, in .ci/requirements.txt"
	@echo "make audit        look those packages up among known vulnerabilities"
	@echo "make proto        generate the protobuf module again"

$(VENV):
	@$(PYTHON) -c 'import sys; sys.exit("python %d.%d is too old: 3.11 is needed" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(dir $(VENV))
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	touch $@

$(READY): pyproject.toml | $(VENV)
ifdef LOCKED
	$(BIN)/pip install --quiet --require-hashes --requirement $(LOCKED)
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
else
	$(BIN)/pip install --quiet --editable . --group dev
endif
	touch $@

$(READY_FOR_DEMO): pyproject.toml | $(VENV)
	$(BIN)/pip install --quiet --editable . --group demo
	touch $@

# Without npm there is no tursodb: its tests then say so and are skipped (TSN_REQUIRE_ALL=1: fail).
$(PEERS): tests/package.json tests/package-lock.json
	@if [[ -z "$${TURSODB:-}" ]] && command -v npm >/dev/null; then \
		npm ci --prefix tests --no-audit --no-fund --loglevel=error && touch $@; \
	fi

$(FLIGHTS): notebooks/nycflights.py | $(READY_TO_SHOW)
	$(BIN)/python notebooks/nycflights.py $@

demo: $(READY_TO_SHOW) $(FLIGHTS)
	@$(BIN)/python notebooks/demo.py run $(FLIGHTS)

lab: $(READY_TO_SHOW) $(FLIGHTS)
	@$(BIN)/python notebooks/demo.py lab $(FLIGHTS)

lint: types
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy
	MYPYPATH=tests:tests/browser $(BIN)/mypy notebooks/*.py
	MYPYPATH=tests:tests/browser $(BIN)/mypy bench/*.py

test: lint $(PEERS)
	$(BIN)/pytest $(PARALLEL) $(PYTEST_ARGS)

test-fast: $(READY) $(PEERS)
	TSN_SERVERS="$(or $(SERVERS),$$([[ -e $(PEERS) || -n "$${TURSODB:-}" ]] && echo tursodb || echo embedded))" \
		TSN_MEMBERS_MAX=$(MEMBERS_MAX) $(BIN)/pytest $(PARALLEL) $(NOT_RANDOM) $(foreach part,$(SLOW),--ignore=tests/$(part)) $(PYTEST_ARGS)

soak: $(READY) $(PEERS)
	PYTHONPATH=tests $(BIN)/python tests/simulation/soak.py $(SOAK_SECONDS) $(SEED)
	PYTHONPATH=tests $(BIN)/python tests/simulation/soak.py $$(($(SOAK_SECONDS) / 2)) $(SEED) tursodb
	PYTHONPATH=tests:tests/end_to_end $(BIN)/python tests/end_to_end/random_ddl.py embedded $$(($(SOAK_SECONDS) / 4)) $(SEED)
	PYTHONPATH=tests:tests/end_to_end $(BIN)/python tests/end_to_end/random_ddl.py tursodb $$(($(SOAK_SECONDS) / 4)) $(SEED)
	TSN_SOAK=1 $(BIN)/pytest tests/end_to_end/test_random_sql.py tests/end_to_end/test_random_triggers.py tests/simulation/test_outbox_runs.py --hypothesis-show-statistics $(PYTEST_ARGS)

mutations: $(READY) $(PEERS)
	PYTHONPATH=tests $(BIN)/python tests/simulation/mutations.py

bench: $(READY) $(PEERS) $(FLIGHTS)
	@PYTHONPATH=tests $(BIN)/python bench/run.py $(FLIGHTS) $(CASES)

bench-large: $(READY)
	@PYTHONPATH=tests $(BIN)/python bench/large.py .demo
	@PYTHONPATH=tests $(BIN)/python bench/ten_gb.py .demo

pictures: $(READY) $(FLIGHTS)
	@PYTHONPATH=tests:tests/browser $(BIN)/python notebooks/pictures.py $(FLIGHTS)

docs: $(READY) $(FLIGHTS)
	TSN_DOCS_EXECUTE=1 NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "read it at http://127.0.0.1:8000, after: $(BIN)/python -m http.server --bind 127.0.0.1 --directory .site"

# A generated module demands at least the protobuf it was generated with: so with the oldest that we allow.
proto:
	$(PYTHON) -m venv .venv-proto
	.venv-proto/bin/pip install --quiet 'grpcio-tools==1.73.0' 'setuptools<81'
	.venv-proto/bin/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. $(PROTO)

matrix: $(PEERS)
	@for python in $(PYTHONS); do \
		if command -v $$python >/dev/null; then \
			echo "== $$python"; \
			$(MAKE) --no-print-directory types test-fast SLOW="$(FOREIGN)" NOT_RANDOM= MEMBERS_MAX= SERVERS="tursodb embedded" BIN=.venv-$$python/bin READY=.venv-$$python/.ready PYTHON=$$python; \
		else \
			echo "== $$python: not on this machine, not tested"; \
		fi; \
	done

# Every package of .venv, whatever it is for, and the hashes of all its files on the index.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet pip-tools
	$(PYTHON) -c 'import tomllib; of = tomllib.load(open("pyproject.toml", "rb")); \
		groups = of["dependency-groups"]; \
		print(*of["project"]["dependencies"], *groups["demo"], *groups["dev"][1:], sep="\n")' >.venv-lock/wanted.in
	.venv-lock/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--output-file .ci/requirements.txt .venv-lock/wanted.in

audit:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet pip-audit
	.venv-audit/bin/pip-audit --requirement .ci/requirements.txt --no-deps --disable-pip
