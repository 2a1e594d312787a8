# The README's commands. Each works on a fresh clone with Python 3.11 or newer, pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test test-oldest lint bench soak clean

SEED ?= $(shell date +%s)

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/rnncli: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(BIN)/pytest: $(BIN)/rnncli
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(BIN)/torchrun: $(BIN)/rnncli
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

demo: $(BIN)/rnncli  ## train on three sentences about fruit, then predict after "mango is"
	$(BIN)/rnncli train configs/fruit.yaml --resume
	$(BIN)/rnncli predict --run runs/fruit --seed "mango is"

test: $(BIN)/pytest  ## every test
	$(BIN)/pytest -n auto --dist worksteal -m 'not alone'
	$(BIN)/pytest -m alone

test-oldest:  ## every test with the lowest dependencies that pyproject.toml allows; needs Python 3.11
	@mkdir -p .venv-oldest
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
	    | sed 's/>=/==/' > .venv-oldest/lowest.txt
	PIP_CONSTRAINT=.venv-oldest/lowest.txt $(MAKE) --no-print-directory test VENV=.venv-oldest

lint: $(BIN)/pytest  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(BIN)/torchrun  ## measure; writes benchmarks/RESULTS.md
	$(BIN)/python benchmarks/run.py

soak: $(BIN)/pytest  ## kills, power cuts, damage, fuzz and property tests in full (half an hour); SEED=N repeats a run
	@echo "make soak SEED=$(SEED)"
	$(BIN)/pytest tests/faults --soak $(SEED) -rP -s
	$(BIN)/pytest tests/text tests/corpus_check tests/config tests/runs/test_npz.py \
	    tests/model/test_parameters.py tests/system/test_randomness.py \
	    --hypothesis-profile=soak --hypothesis-seed=$(SEED)

clean:  ## remove what make made
	rm -rf .venv .venv-oldest build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
