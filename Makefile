# Every target sets up what it needs: a .venv with the package, its kernel and the versions of constraints.txt.
PYTHON ?= python3
SOURCE ?= mini
SEEDS ?= 0 1 2
WORKERS ?= 2
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
# glibc keeps freed memory for the next block: a tenth to a fifth of the time of every training step on a CPU.
export MALLOC_MMAP_THRESHOLD_ ?= 1073741824
export MALLOC_TRIM_THRESHOLD_ ?= 1073741824

.PHONY: help setup reproduce sweep test test-fast test-browser lint notebooks publish lab explorer bench clean

help:
	@echo "make reproduce [SOURCE=mini]  run all notebooks in order into runs/<source>/"
	@echo "make reproduce SOURCE=folder FOLDER=my_clips     the same on a folder of your own clips"
	@echo "make sweep [SEEDS=...]        more seeds of the training, and a second rendering: hours, resumes"
	@echo "make test [WORKERS=2]         run the tests, in so many processes"
	@echo "make test-fast                run the tests that take seconds: under two minutes"
	@echo "make test-browser             use the explorer in a real browser (where Chromium is installed)"
	@echo "make lint                     check style and formatting"
	@echo "make explorer                 open the retrieval explorer, notebook 09, as a page of its own"
	@echo "make lab                      open JupyterLab"
	@echo "make notebooks                carry edits of notebooks/*.py into their .ipynb"
	@echo "make publish                  run on mini, then put the executed notebooks into notebooks/"
	@echo "make bench                    measure speed against plain designs: a table and a figure in runs/bench/"
	@echo "make clean                    remove runs/ and what was rendered; all else stays"

setup: $(READY)

# .installing exists while pip runs. If it is there at the start, a set-up was interrupted, perhaps in the middle
# of a package, so the .venv is made anew. A pip that failed by itself leaves a sound .venv to continue with.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else "%s is Python %d.%d, expected 3.10 to 3.13; name another with: make PYTHON=python3.11" % (sys.executable, *v))'
	@if [ -e $(VENV)/.installing ] || ! $(PY) -m pip --version >/dev/null 2>&1; then rm -rf $(VENV); $(PYTHON) -m venv $(VENV); fi
	@echo "installing into $(VENV) (a few minutes the first time)"
	@touch $(VENV)/.installing
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]" || { rm -f $(VENV)/.installing; \
	  echo "pip stopped for the reason above. It needs 10 GB of disk while it installs; free are:"; df -h . "$${TMPDIR:-/tmp}"; exit 1; }
	@mv $(VENV)/.installing $@

# FOLDER=my_clips is the folder of clips, such as your own of SOURCE=folder.
reproduce: $(READY)
	$(PY) -m tfcovr_utils reproduce --source $(SOURCE) $(if $(FOLDER),-p clips "$(FOLDER)")

# Finished results are cached, so an interrupted sweep resumes. The last two lines show all seeds together.
sweep: $(READY)
	$(PY) -m tfcovr_utils reproduce --source $(SOURCE) --seeds $(SEEDS) --only stage1 stage2 finetuned -p sweep true
	$(PY) -m tfcovr_utils reproduce --source $(SOURCE) --seeds $(SEEDS) --only stage1 stage2 -p render_seed 1
	$(PY) -m tfcovr_utils reproduce --source $(SOURCE) --only stage2 -p render_seed 1
	$(PY) -m tfcovr_utils reproduce --source $(SOURCE) -p sweep true

test: $(READY)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal

test-fast: $(READY)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

lint: $(READY)
	$(PY) -m ruff check
	$(PY) -m ruff format --check

# The browser's packages are not part of the set-up; the first target that needs them installs them.
BROWSER := $(VENV)/.browser-ready
$(BROWSER): $(READY)
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,browser]"
	@touch $@

test-browser: $(BROWSER)
	$(PY) -m pytest tests/test_browser.py -rs

notebooks: $(READY)
	$(PY) -m jupytext --to ipynb --update notebooks/*.py

publish: $(READY)
	$(PY) -m tfcovr_utils reproduce --source mini
	$(PY) -m tfcovr_utils publish --source mini

lab: $(READY)
	$(PY) -m jupyterlab --ServerApp.ip=127.0.0.1

explorer: $(BROWSER)
	$(PY) -m tfcovr_utils explore $(if $(FOLDER),--folder "$(FOLDER)")

bench: $(READY)
	$(PY) benchmarks

clean:
	rm -rf runs data/benchmarks/smoke-* data/benchmarks/mini-* data/benchmarks/sim-*
