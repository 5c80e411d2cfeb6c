"""The catalog: no named array is left without a machine around it, and no two runs share a name."""

import importlib
import json
import re

import pytest

from fineq_hw.config import ACCELERATORS, ARRAYS, MACS
from fineq_sim.runs.catalog import all_runs, select, small_machines
from fineq_sim.runs.duts import accelerator_design
from fineq_sim.runs.simulators import SIMULATORS


def machine_arrays(quick: bool = False) -> list[dict]:
    """Parameters of the arrays of all whole accelerators that a bench runs on."""
    runs = [run for run in all_runs() if run.bench.startswith("machine.") and (run.quick or not quick)]
    return [run.parameters["config"]["array"] for run in runs]


def test_every_small_array_is_run_inside_a_machine():
    small = [array for array in {**ARRAYS, **MACS}.values() if (array.rows, array.columns) == (5, 7)]
    assert len(small) == len(small_machines()) == 23
    run = machine_arrays()
    missing = [array for array in small if vars(array) not in run]
    assert not missing


def test_every_kind_of_array_is_run_inside_a_machine():
    """Whatever differs between the named arrays but their size."""

    def kind(array) -> dict:
        return {name: value for name, value in vars(array).items() if name not in ("rows", "columns")}

    run = [kind(config.array) for config in (*small_machines().values(), *ACCELERATORS.values())]
    assert all(kind(array) in run for array in {**ARRAYS, **MACS}.values())


def test_the_lean_regression_runs_a_machine_whose_encoding_is_no_identifier():
    assert {"2s-unary"} <= {array.get("encoding") for array in machine_arrays(quick=True)}


def test_whole_machines_are_compiled_for_speed():
    """But for the largest, on which two short checks run."""
    machines = [run for run in all_runs() if run.bench.startswith(("machine.", "link."))]
    assert [run.name for run in all_runs() if run.optimized] == [run.name for run in machines if run.optimized]
    assert {run.name.partition("_shared_port")[0] for run in machines if not run.optimized} == {
        f"driver/{name}" for name, config in ACCELERATORS.items() if config.array.rows * config.array.columns == 4096
    }


def test_names_are_unique():
    names = [run.name for run in all_runs()]
    assert len(names) == len(set(names))
    assert {run.name for run in select("verilator", "driver/around")} == {
        f"driver/around_{name}" for name, config in small_machines().items() if config not in ACCELERATORS.values()
    }


def test_every_clocked_block_is_run_without_initial_values():
    """And whole machines around both kinds of arrays, on both simulators. What is made for FPGAs has initial values."""
    runs = all_runs()
    powered = {run.name.partition("/")[0] for run in runs if run.random_start}
    without_registers = {"decoder", "line_decoder", "adder_tree"}
    apart = ("machine.", "link.")
    blocks = {run.name.partition("/")[0] for run in runs if not run.bench.startswith(apart) and not run.golden}
    assert powered - {"accelerator", "driver"} == blocks - without_registers
    for simulator in SIMULATORS:
        names = {run.name for run in select(simulator) if run.random_start}
        for kind in ("accelerator", "driver"):
            for machine in ("accelerator_5x7", "mac8x8_accelerator_5x7"):
                assert f"{kind}/{machine}_power_up" in names
    assert all(run.name.endswith("_power_up") == run.random_start for run in runs)


def test_a_machine_is_linted_before_it_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr("fineq_hw.export.lint.lint", lambda top, files: [f"%Warning: {top}"])
    monkeypatch.setattr(
        "fineq_hw.export.conversion.convert", lambda tops, **options: ({"dut_accelerator": "module"}, None)
    )
    with pytest.raises(ValueError, match="^Verilator complains about the Verilog of dut_accelerator: %Warning: dut_"):
        accelerator_design(ACCELERATORS["accelerator_5x7"], tmp_path, check=True)
    assert not list(tmp_path.rglob("*.json")), "it was kept all the same"


def test_chosen_tests_of_the_driver_exist(monkeypatch):
    """A pattern that meets no test would leave a machine untried."""
    runs = select("verilator", "driver/around")
    monkeypatch.setenv("FINEQ_BENCH", json.dumps(dict(runs[0].parameters)))  # the bench asks for its machine at once
    bench = importlib.import_module("fineq_sim.benches.machine.driver_bench")
    names = [test.name for test in bench.test_driver.generate_tests()]
    for run in runs:
        assert run.tests is not None
        assert len([name for name in names if re.search(run.tests, name)]) == 5
