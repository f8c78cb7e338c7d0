# `make run` trains the default configuration, `make test` runs the whole test suite; both make the environment first.
.PHONY: run test test-slow faults mutants fuzz check lint types imports docs clean-environment

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

# A stamp newer than pyproject.toml means that the environment is installed; quotes bear a space in the path.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv "$(VENV)"
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch "$(VENV)/installed"

run: $(VENV)/installed
	"$(BIN)/python" train.py --config=configs/runs/default.json

test: $(VENV)/installed
	"$(BIN)/python" -m pytest -n 2 -q -m "not slow and not nightly"

# What takes minutes: servers that are down, killed, silent, slow and full beside real trainings, and the like.
test-slow: $(VENV)/installed
	"$(BIN)/python" -m pytest -n 2 --dist loadgroup -q -m "slow and not nightly"

# Most of an hour: more kills, refusals and damage than the suite has time for.
faults: $(VENV)/installed
	"$(BIN)/python" -m pytest -n 2 --dist loadgroup -q --timeout 1800 -m nightly

# The code broken on purpose in one way for each promise: tests must notice every one. Ten minutes.
mutants: $(VENV)/installed
	"$(BIN)/python" tests/faults/mutants.py --unbroken

# Many more wrong configurations than the suite tries, each measured; the seed that it prints gives the same ones again.
fuzz: $(VENV)/installed
	seed=$${ASSAY_FUZZ_SEED:-$$(date +%s)}; echo "ASSAY_FUZZ_SEED=$$seed"; \
	ASSAY_FUZZ=$${ASSAY_FUZZ:-200000} ASSAY_FUZZ_SEED=$$seed \
	"$(BIN)/python" -m pytest -n 2 -q --timeout 0 tests/config/test_fuzz.py

lint: $(VENV)/installed
	"$(BIN)/python" -m ruff check .
	"$(BIN)/python" -m ruff format --check .

types: $(VENV)/installed
	"$(BIN)/python" -m mypy

imports: $(VENV)/installed
	"$(BIN)/lint-imports"

# configs/schema.json and docs/config.md, from the code that checks configurations.
docs: $(VENV)/installed
	"$(BIN)/assay" schema --output configs/schema.json --docs docs/config.md

check: lint types imports test

clean-environment:
	rm -rf "$(VENV)"
