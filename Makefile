# make sweep | test | lint | docs | reference | constraints | clean       (make alone says what they do)
#
# PYTHON=/path/to/python3.11   another interpreter for the virtual environment (3.10 to 3.12)
# ARGS="--trials 30"           options for the sweep;  for make test: options for pytest

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS := .venv-docs
DOCS_STAMP := $(DOCS)/.installed
METRICS := .venv-metrics
METRICS_STAMP := $(METRICS)/.installed
SHARED_STAMP := $(METRICS)/.shared
ARGS ?=
# integration tests that mostly wait, beside which the unit tests run
LIGHT := $(addprefix tests/integration/test_,bad_input.py resume.py store_transport.py dashboard.py workers.py)
# the others, the longest first
LONG := $(addprefix tests/integration/test_,chaos.py sweep.py more_seeds.py export_model.py)
LONG += $(filter-out $(LIGHT) $(LONG),$(wildcard tests/integration/test_*.py))
# what depends on Ray's API
RAY_TESTS := $(addprefix unit/test_,executors.py worker_loop.py searcher.py tuner.py) $(addprefix integration/test_,warm_executors.py workers.py)
# what depends on transformers', and what else transformers 4 needs
TRANSFORMERS_TESTS := unit/compat $(addprefix unit/test_,pinned_scores.py model_folders.py engine.py packing.py)
BESIDE_4 := "huggingface_hub<1" "tokenizers>=0.22,<0.23" "datasets>=4,<5"
# the first of these that is 3.10 to 3.12 and can make virtual environments
PYTHON ?=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3.11 python3.12 python3.10 python3 python)
USABLE := import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))
# environments that uv made have no pip
with_pip = $(1)/bin/python -m pip --version > /dev/null 2>&1 || $(1)/bin/python -m ensurepip > /dev/null 2>&1 || \
	{ echo "error: $(1) has no pip, and its Python no ensurepip; uv pip install -p $(1) pip, or remove $(1)"; exit 1; }

.PHONY: help sweep test compat lint docs reference setup corpora constraints clean
.SILENT:

help:
	echo "make sweep        set up, then search recipes on the default study (ARGS=... for options)"
	echo "make test         set up, then run unit and integration tests"
	echo "make lint         ruff and mypy, as CI runs them"
	echo "make compat RAY=V the tests that depend on Ray, with version V of it (also TRANSFORMERS=V)"
	echo "make docs         the documentation as a site, in site/, with all links checked"
	echo "make reference    the generated parts of docs/reference/ anew"
	echo "make setup        $(VENV) and $(METRICS) with everything pinned, and the corpora in the cache"
	echo "make constraints  pin the newest versions that fit together anew (needs uv)"
	echo "make clean        remove the environments and caches; runs/ and the corpora stay"

sweep: setup
	$(BIN)/python sweeps/ratio_search.py $(ARGS)

test: setup
	if [ -n "$(ARGS)" ]; then $(BIN)/python -m pytest -m "not gpu" $(ARGS); exit; fi; \
	echo "tests: unit and the lighter integration, in two processes"; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not gpu" -n 2 --dist loadfile $(LIGHT) tests/unit && \
	echo "tests: integration, real sweeps" && \
	$(BIN)/python -m pytest -m "not gpu" -n 2 --dist loadfile --no-loadscope-reorder $(LONG)

# an environment over $(VENV), with another version of Ray or of transformers before it
compat: setup
	if [ -n "$(RAY)" ]; then set -- "ray==$(RAY)"; name=ray; tests="$(addprefix tests/,$(RAY_TESTS))"; \
	elif [ -n "$(TRANSFORMERS)" ]; then set -- "transformers==$(TRANSFORMERS)"; name=transformers; \
		tests="$(addprefix tests/,$(TRANSFORMERS_TESTS))"; \
		case "$(TRANSFORMERS)" in 4.*) set -- "$$@" $(BESIDE_4);; esac; \
	else echo "make compat RAY=2.50.0, or TRANSFORMERS=4.57.6 (a version of either)"; exit 2; fi; \
	rm -rf .venv-compat; $(BIN)/python -m venv .venv-compat; \
	own=$$(.venv-compat/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))"); \
	all=$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))"); \
	echo "import site; site.addsitedir('$$all')" > "$$own/outer.pth"; \
	.venv-compat/bin/python -m pip install -q --no-deps "$$@" && \
	.venv-compat/bin/python -c "import $$name; print('$$name', $$name.__version__)" && \
	.venv-compat/bin/python -m pytest -q $$tests

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet --strict
	echo "the site: site/index.html"

reference: $(STAMP)
	PYTHONPATH=. $(BIN)/python tools/reference.py

setup: corpora $(METRICS_STAMP) $(SHARED_STAMP)

corpora: $(STAMP)
	echo "corpora: from the cache, or fetched once (85 MB)"
	$(BIN)/python -m mtray.embedded.corpora > $(VENV)/corpora.log

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	echo "packages: installing what constraints.txt pins into $(VENV) (minutes; log: $(VENV)/install.log)"
	$(call with_pip,$(VENV))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]" \
		> $(VENV)/install.log 2>&1 || { tail -n 20 $(VENV)/install.log; \
		echo "error: pip could not install the packages; the whole log: $(VENV)/install.log"; exit 1; }
	touch $@

# pip knows dependency groups from 25.1 on
$(DOCS_STAMP): pyproject.toml constraints.txt | $(DOCS)/bin/python
	echo "packages: those of the documentation into $(DOCS) (log: $(DOCS)/install.log)"
	$(call with_pip,$(DOCS))
	{ $(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check "pip>=25.1,<27" && \
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group docs; } \
		> $(DOCS)/install.log 2>&1 || { tail -n 20 $(DOCS)/install.log; \
		echo "error: pip could not install the packages; the whole log: $(DOCS)/install.log"; exit 1; }
	touch $@

# COMET needs older packages than the rest; --no-compile saves a third of the time
$(METRICS_STAMP): constraints-metrics.txt | $(METRICS)/bin/python
	echo "packages: COMET's into $(METRICS) (log: $(METRICS)/install.log)"
	{ $(METRICS)/bin/python -m pip install --quiet --disable-pip-version-check "pip>=25.1,<27" && \
	$(METRICS)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
		-c constraints-metrics.txt --group metrics; } \
		> $(METRICS)/install.log 2>&1 || { tail -n 20 $(METRICS)/install.log; \
		echo "error: pip could not install the packages; the whole log: $(METRICS)/install.log"; exit 1; }
	touch $@

# both have the same torch: 0.7 GB
$(SHARED_STAMP): $(STAMP) $(METRICS_STAMP)
	$(BIN)/python tools/share_files.py $(VENV) $(METRICS)
	touch $@

$(BIN)/python $(DOCS)/bin/python $(METRICS)/bin/python:
	for p in $(CANDIDATES); do \
		if command -v "$$p" > /dev/null && "$$p" -c "$(USABLE)" 2> /dev/null; then found="$$p"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "error: no Python 3.10, 3.11 or 3.12 with venv among: $(CANDIDATES)"; \
		echo "install one (on Debian and Ubuntu with its package python3-venv), or name one:" \
			"make sweep PYTHON=/path/to/python3.11"; \
		exit 1; \
	fi; \
	echo "environment: $(@:/bin/python=) with $$("$$found" --version)"; \
	"$$found" -m venv $(@:/bin/python=)

# --universal: one file for every platform and every Python from 3.10 on
constraints:
	command -v uv > /dev/null || { echo "error: uv is needed: pip install uv"; exit 1; }
	uv pip compile --quiet --universal --upgrade --python-version 3.10 --no-header --no-annotate \
		--no-emit-index-url --all-extras --group docs pyproject.toml -o constraints.txt
	uv pip compile --quiet --universal --upgrade --python-version 3.10 --no-header --no-annotate \
		--no-emit-index-url --group metrics -o constraints-metrics.txt
	echo "wrote constraints.txt and constraints-metrics.txt; make test shows whether the new versions work"

clean:
	rm -rf $(VENV) $(DOCS) $(METRICS) site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path "./.git/*" -prune -exec rm -rf {} +
	echo "removed $(VENV), $(DOCS), $(METRICS) and caches; kept runs/ and the corpora's cache"
