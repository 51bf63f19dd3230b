# Every target sets up what it needs: a .venv with the package, its kernel and the versions of constraints.txt.
PYTHON ?= python3
PROFILE ?= mini
SEEDS ?= 0 1 2
WORKERS ?= 2
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: help setup reproduce sweep test test-browser notebooks publish lab explorer bench clean

help:
	@echo "make reproduce [PROFILE=mini]  run all notebooks in order into runs/<profile>/"
	@echo "make sweep [SEEDS=...]         more seeds of the training, and a second rendering: hours, goes on where it stopped"
	@echo "make test [WORKERS=2]          run the tests, in so many processes"
	@echo "make test-browser              use the explorer in a real browser (where Chromium is installed)"
	@echo "make explorer                  open the retrieval explorer, notebook 09, as a page of its own"
	@echo "make lab                       open JupyterLab"
	@echo "make notebooks                 carry edits of notebooks/*.py into their .ipynb"
	@echo "make publish                   run on mini, then put the executed notebooks into notebooks/"
	@echo "make bench                     measure what is claimed to be fast, against plain designs: a table and a figure into runs/bench/"
	@echo "make clean                     remove runs/ and what was rendered; all else stays"

setup: $(READY)

# .installing stands while pip runs. Found at the start, it means that a set-up was cut off, perhaps in the
# middle of a package, so the .venv is made anew; a pip that failed by itself leaves a sound .venv to go on with.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else "%s is Python %d.%d, expected 3.10 to 3.13; name another with: make PYTHON=python3.11" % (sys.executable, *v))'
	@if [ -e $(VENV)/.installing ] || ! $(PY) -m pip --version >/dev/null 2>&1; then rm -rf $(VENV); $(PYTHON) -m venv $(VENV); fi
	@echo "installing into $(VENV) (a few minutes the first time)"
	@touch $(VENV)/.installing
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]" || { rm -f $(VENV)/.installing; \
	  echo "pip stopped for the reason above. On the way it needs 10 GB of disk; there is:"; df -h . "$${TMPDIR:-/tmp}"; exit 1; }
	@mv $(VENV)/.installing $@

reproduce: $(READY)
	$(PY) -m tfcovr_utils reproduce --profile $(PROFILE)

# What is trained and scored is kept, so a sweep that was stopped does only what is missing. The last two lines show all seeds together.
sweep: $(READY)
	$(PY) -m tfcovr_utils reproduce --profile $(PROFILE) --seeds $(SEEDS) --only stage1 stage2 finetuned -p sweep true
	$(PY) -m tfcovr_utils reproduce --profile $(PROFILE) --seeds $(SEEDS) --only stage1 stage2 -p render_seed 1
	$(PY) -m tfcovr_utils reproduce --profile $(PROFILE) --only stage2 -p render_seed 1
	$(PY) -m tfcovr_utils reproduce --profile $(PROFILE) -p sweep true

test: $(READY)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal

# The browser's own packages are no part of the set-up; they are added when they are first asked for.
BROWSER := $(VENV)/.browser-ready
$(BROWSER): $(READY)
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,browser]"
	@touch $@

test-browser: $(BROWSER)
	$(PY) -m pytest tests/test_browser.py -rs

notebooks: $(READY)
	$(PY) -m jupytext --to ipynb --update notebooks/*.py

publish: $(READY)
	$(PY) -m tfcovr_utils reproduce --profile mini
	$(PY) -m tfcovr_utils publish --profile mini

lab: $(READY)
	$(PY) -m jupyterlab

explorer: $(BROWSER)
	$(PY) -m voila notebooks/09_retrieval_explorer.ipynb

bench: $(READY)
	$(PY) benchmarks

clean:
	rm -rf runs data/benchmarks/smoke-* data/benchmarks/mini-* data/benchmarks/sim-*
