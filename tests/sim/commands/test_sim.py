"""`fineq sim`: the lean regression on both simulators, its lists, its files, and what it says to bad input."""

import shutil
import xml.etree.ElementTree as ElementTree

import pytest
from helpers.running.command_line import run_fineq, start_fineq

from fineq_sim.runs import regression
from fineq_sim.runs.catalog import select
from fineq_sim.runs.runner import CaseOutcome, RunResult

needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")

FAST = "icarus" if shutil.which("iverilog") else "verilator"


def test_quick_regression_passes_on_verilator(tmp_path):
    result = start_fineq("sim", "--simulator", "verilator", "--quick", "--output", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    suites = ElementTree.parse(tmp_path / "results.xml").getroot()
    assert [suite.get("name") for suite in suites] == [entry.name for entry in select("verilator", quick=True)]
    assert all(int(suite.get("tests")) > 0 and suite.get("failures") == "0" for suite in suites)
    summary = (tmp_path / "summary.md").read_text()
    assert f"{len(suites)} of {len(suites)} testbench runs pass" in summary


@needs_icarus
@pytest.mark.parametrize("name", ["decoder/all", "control_unit/fineq_5x7", "temporal/3x2"])
def test_icarus_passes(tmp_path, name):
    result = start_fineq("sim", "--simulator", "icarus", "--only", name, "--output", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_an_interrupted_regression_goes_on(tmp_path):
    """What passed is not run again, unless asked for, and still counts in every file; what was lost is."""
    command = ["sim", "--simulator", FAST, "--only", "decoder/all", "--output", tmp_path]
    first = start_fineq(*command)
    assert " pass  decoder/all" in first.stdout and "kept" not in first.stdout
    second = start_fineq(*command)
    assert second.returncode == 0, second.stderr
    assert " kept  decoder/all" in second.stdout
    assert "(1 of the runs kept from an earlier run of the same code)" in second.stdout
    assert ElementTree.parse(tmp_path / "results.xml").getroot()[0].get("failures") == "0"
    assert " pass  decoder/all" in start_fineq(*command, "--fresh").stdout
    assert " pass  decoder/all" in start_fineq(*command, "--seed", 2).stdout


def test_waveforms_are_recorded(tmp_path):
    result = start_fineq("sim", "--simulator", FAST, "--only", "decoder/all", "--waves", "--output", tmp_path)
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.rglob("dump.*")), "no waveform file"


def test_list_names_the_runs_of_a_simulator():
    outcome = run_fineq("sim", "--list", "--simulator", "icarus")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.splitlines() == [run.name for run in select("icarus")]
    outcome = run_fineq("sim", "--list", "--quick", "--only", "decoder*")
    assert outcome.stdout.splitlines() == ["decoder/all"]


def test_a_failing_run_is_told_with_the_command_that_repeats_it(tmp_path, monkeypatch):
    """Results stand in the files in the order of the catalog, whatever the order in which the runs ended."""
    names = ["csr/accelerator_5x7", "csr/mac8x8_accelerator_64x64"]

    def backwards(entries, simulator, output, *, seed, **others):
        for entry in reversed(entries):
            failure = "sum 3, expected 4" if entry.name == names[0] else None
            yield RunResult(entry.name, simulator, seed, 0.0, 1.0, (CaseOutcome("adds", 0.1, failure),))

    monkeypatch.setattr(regression, "regress", backwards)
    monkeypatch.setattr("fineq_sim.runs.simulators.require", lambda simulator: None)
    outcome = run_fineq("sim", "--only", "csr/*acc*r_[56]*x*[74]", "--seed", 9, "--output", tmp_path)
    assert outcome.code == 1
    assert "reproduce with: fineq sim --simulator verilator --only 'csr/accelerator_5x7' --seed 9" in outcome.stderr
    assert outcome.stderr.endswith("error: 1 of 2 testbench runs failed on verilator\n")
    suites = ElementTree.parse(tmp_path / "results.xml").getroot()
    assert [suite.get("name") for suite in suites] == names
    assert "1 of 2 testbench runs pass" in (tmp_path / "summary.md").read_text()


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


@pytest.mark.parametrize(("options", "code"), [((), 1), (("--only", "csr/accelerator_5x7"), 0)])
def test_a_whole_regression_must_meet_every_bin(tmp_path, monkeypatch, options, code):
    """Runs that are chosen need not; both write what they met."""

    def nothing_met(entries, simulator, output, *, seed, **others):
        for entry in entries:
            yield RunResult(entry.name, simulator, seed, 0.0, 1.0, (CaseOutcome("adds", 0.1, None),))

    monkeypatch.setattr(regression, "regress", nothing_met)
    monkeypatch.setattr("fineq_sim.runs.simulators.require", lambda simulator: None)
    outcome = run_fineq("sim", "--output", tmp_path, *options)
    assert outcome.code == code, outcome.stderr
    report = tmp_path / "functional-coverage.md"
    assert ("bins of functional coverage stayed empty" in outcome.stderr) == bool(code)
    assert "\n0 of " in report.read_text() and "machine.chains" in (tmp_path / "functional-coverage.json").read_text()
