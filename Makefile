# FineQ. `make demo` shows the whole idea once; `make test` proves it; `make help` lists the rest.
VENV   ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN    := $(VENV)/bin
PY     := $(BIN)/python
FINEQ  := $(BIN)/fineq
READY  := $(VENV)/.ready
PYTEST := $(PY) -m pytest -n logical --dist loadfile
BUILD  ?= build
SIM    ?= verilator
# Demo model: empty means the model that the repository carries.
MODEL  ?=
# Array that `make synth` reports on: see ARRAYS in hw/fineq_hw/config/named.py.
SYNTH_SIZE ?= 64x64
# Blocks that `make pnr` lays out: see TARGETS in scripts/fineq_asic/layout/targets.py. Empty: all published ones.
PNR_DESIGN ?=
# Where `make mutants` writes its report.
RESULTS ?= docs/results
# Where `make notebooks` writes.
NOTEBOOKS ?= docs/tutorials

export PYTHONHASHSEED := 0

.DEFAULT_GOAL := help
.PHONY: help setup system-packages demo test lint formal verilog sim sim-llm throughput synth accelerator-blocks equivalence ppa pnr mutate mutants fuzz simulate-check figures explore coverage architecture regress versions model-types notebooks bench docs clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: system-packages $(READY)  ## system packages and virtual environment (every target does this itself)

system-packages:
	@sh scripts/system_packages.sh

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: setup  ## quantize a real model, run a layer on the verilated array, synthesise; writes build/demo/report.html
	$(FINEQ) demo --output $(BUILD)/demo $(if $(MODEL),--model "$(MODEL)")

test: setup lint  ## everything that proves the project right
	$(PYTEST) -m "not regress"

lint: $(READY)  ## style, format, direction of imports, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/lint-imports --no-cache > /dev/null || $(BIN)/lint-imports --no-cache
	$(BIN)/mypy

verilog: setup  ## write build/verilog: one file a module, linted by Verilator
	$(FINEQ) verilog --output $(BUILD)/verilog

sim: setup  ## cocotb regression; SIM=icarus for the other simulator, WAVES=1 for waveforms
	$(FINEQ) sim --simulator $(SIM) --output $(BUILD)/sim-$(SIM) $(if $(WAVES),--waves)

sim-llm: setup  ## a language model speaks through the verilated accelerator; MODEL=... for another model
	$(FINEQ) sim-llm --report $(BUILD)/sim-llm $(if $(MODEL),--model "$(MODEL)")

throughput: setup  ## how busy the array is on a 512x512x512 layer, beside the MAC accelerators
	$(FINEQ) throughput --report $(BUILD)/throughput

simulate-check: setup  ## the cycle-level simulator against every verilated machine, all counters; writes docs/results/simulator.md
	$(FINEQ) simulate-check --output docs/results

figures: setup  ## the paper's Table III, Fig. 8 and Fig. 9 beside ours, from the synthesis reports and the simulator
	$(FINEQ) figures --output docs/results

explore: setup  ## thousands of machines on LLaMA-2 7B by area, energy and time; goes on where a stopped run was
	$(FINEQ) explore docs/results/exploration-space.yaml llama-2-7b --seq 2048 --output docs/results

synth: setup  ## map to FreePDK45, check timing at 400 MHz, power from real activity, energy by event; SYNTH_SIZE=16x16 for a quick one
	$(FINEQ) synth --size $(SYNTH_SIZE) --cache $(BUILD)/netlists --output $(BUILD)/synth-$(SYNTH_SIZE)
	$(FINEQ) array-energy --size 16x16 --cache $(BUILD)/netlists --output $(BUILD)/array-energy-16x16

accelerator-blocks: setup  ## area and slack of the accelerator's logic around the array, block by block
	$(FINEQ) accelerator-blocks --output $(BUILD)/accelerator-blocks

formal: setup  ## prove the RTL's blocks right, and show that a planted fault breaks each proof
	$(FINEQ) formal --faults --output $(BUILD)/formal --results docs/results

equivalence: setup  ## prove the mapped netlists equal to their RTL, module by module and small cores as a whole
	$(FINEQ) equivalence --size 5x7 --whole --output $(BUILD)/equivalence --cache $(BUILD)/ppa/cache

ppa: setup  ## every hardware table and plot of docs/results from one run; goes on where a stopped run was
	$(FINEQ) ppa --output $(BUILD)/ppa --results docs/results

pnr: setup  ## lay out rows, decoders and 16x16 arrays with OpenROAD; PNR_DESIGN=row-64-latch for one (docs/flows/layout.md)
	$(FINEQ) pnr --output $(BUILD)/pnr $(addprefix --design ,$(PNR_DESIGN))

mutate: setup  ## plant faults in the RTL and the packing; each must be caught
	$(FINEQ) mutate --faults tests/faults --output $(BUILD)/mutate

mutants: setup  ## plant faults by rule in the netlists; benches or proofs must notice them (more than an hour; goes on where it was)
	$(FINEQ) mutants --output $(BUILD)/mutants --results $(RESULTS)

fuzz: setup  ## damage packed files, use the machine at random; MINUTES=60 for as long, otherwise 10^6 files and 1000 cases
	$(FINEQ) fuzz --output $(BUILD)/fuzz $(if $(MINUTES),--minutes $(MINUTES))

coverage: setup  ## line coverage of the generated Verilog by component, functional coverage of the benches
	$(FINEQ) coverage --output $(BUILD)/coverage

architecture: setup  ## block diagram from the Verilog, timing diagram from a recorded run
	$(FINEQ) architecture --output $(BUILD)/architecture

regress: setup  ## the longer checks, on both simulators; what has passed on the same commit is not run again
	$(PY) scripts/regress.py $(BUILD)/regress \
		"tests: $(PYTEST)" \
		"verilator: $(MAKE) sim SIM=verilator" \
		"icarus: $(MAKE) sim SIM=icarus" \
		"mutate: $(MAKE) mutate" \
		"fuzz: $(MAKE) fuzz MINUTES=" \
		"mutants: $(MAKE) mutants RESULTS=$(BUILD)/mutants" \
		"versions: $(MAKE) versions" \
		"notebooks: $(MAKE) notebooks NOTEBOOKS=$(BUILD)/notebooks" \
		"docs: $(MAKE) docs"

versions: setup  ## the tests of models on the lowest and the newest transformers that are allowed; needs a package index
	$(PY) scripts/versions.py $(BUILD)/versions

model-types: setup  ## every model type of transformers, tiny and random, through quantize, load and save
	$(FINEQ) model-types --output $(BUILD)/model-types

notebooks: setup  ## execute the tutorials that are notebooks and write them back; NOTEBOOKS=DIR to write them elsewhere
	$(PY) scripts/notebooks.py --output $(NOTEBOOKS)

bench: setup  ## speed and memory, as ratios against something run beside it
	$(FINEQ) bench --output $(BUILD)/bench

docs: $(READY)  ## the documentation site with the reference of all packages, into build/docs/index.html
	rm -rf docs/api docs/notebooks $(BUILD)/docs
	$(PY) -m sphinx -W --keep-going -q -d $(BUILD)/docs-trees docs $(BUILD)/docs
	$(PY) docs/_ext/site_links.py $(BUILD)/docs

clean:  ## remove build products
	rm -rf $(BUILD) docs/api docs/notebooks
