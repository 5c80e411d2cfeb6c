"""`fineq ppa`, `fineq power-check` and `fineq equivalence` at the smallest size."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers.running.command_line import run_fineq

from fineq.cli import commands
from fineq.common.cache_keys import deciding_files
from fineq.evaluation.perplexity import shipped_calibration_path, shipped_text_path
from fineq_asic.activity.switching import Activity
from fineq_asic.activity.workload import DataSet
from fineq_asic.equivalence import whole as equivalence_run
from fineq_asic.equivalence.modules import EquivalenceResult
from fineq_asic.equivalence.whole import Proof
from fineq_asic.errors import SynthesisError
from fineq_asic.flows import power_comparison as power_comparison
from fineq_asic.flows.power_comparison import Comparison
from fineq_asic.library.liberty import read_liberty
from fineq_asic.library.pdk import find_pdk
from fineq_asic.netlist.flat import flatten, named_cells
from fineq_asic.netlist.netlist import Instance, Module, Netlist, Port
from fineq_reports import ppa_run

ROOT = Path(__file__).parents[4]


def test_power_check_skips_without_a_tool(tmp_path, monkeypatch):
    monkeypatch.setattr("fineq_asic.flows.other_power_tools.find_power_tools", dict)
    result = run_fineq("power-check", "--output", tmp_path / "out")
    assert result.code == 0
    assert "power check skipped: no OpenSTA or OpenROAD that can read activity" in result.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("ours, verdict", [(1.02, "at most 3 %, met"), (0.95, "at most 3 %, **not met**")])
def test_power_check_judges_the_largest_difference(ours, verdict, monkeypatch):
    monkeypatch.setattr(power_comparison, "sta_version", lambda tool: "1")
    found = [Comparison("a", 10, {"OpenSTA": 1.0}, 1.0, 1.1), Comparison("b", 10, {"OpenSTA": 1.0}, ours, 1.1)]
    text = power_comparison.markdown(found, DataSet("rows", ()), {"OpenSTA": "1"}, "command")
    assert verdict in text and f"{100 * (ours - 1):+.2f} %" in text


def test_power_check_covers_rows_and_latches():
    chosen = [(design.top, row) for design, row in power_comparison.chosen_designs()]
    assert len(chosen) >= 5 and any(row for _, row in chosen) and any("latch" in top for top, row in chosen if not row)


def test_equivalence_of_a_small_design(tmp_path):
    arguments = ["--size", "5x7", "--design", "mac8x3_5x7_broadcast", "--cache", tmp_path / "cache"]
    first = run_fineq("equivalence", *arguments, "--output", tmp_path / "first")
    assert first.code == 0, first.stderr
    text = (tmp_path / "first" / "equivalence.md").read_text()
    assert "`fineq_mac_row_8x3_7_broadcast`" in text
    assert ", 0 with unproven pairs, 0 not decided within the limit, 0 left for the next run." in text
    assert "`fineq equivalence --size 5x7 --design mac8x3_5x7_broadcast --limit 600`" in text
    assert str(tmp_path) not in text
    first_verdict = sorted((tmp_path / "cache").glob("verdict-*"))[0]
    first_verdict.unlink()
    stopped = run_fineq("equivalence", *arguments, "--minutes", 0, "--output", tmp_path / "second")
    assert stopped.code == 0 and not first_verdict.exists()
    assert ", 1 left for the next run." in (tmp_path / "second" / "equivalence.md").read_text()
    again = run_fineq("equivalence", *arguments, "--output", tmp_path / "second")
    assert again.code == 0 and (tmp_path / "second" / "equivalence.md").read_text() == text


def test_equivalence_fails_on_an_unproven_pair(tmp_path, monkeypatch):
    wrong = [Proof("core", "row", False, EquivalenceResult("row", False, 9, 2, "sum<3>"))]
    monkeypatch.setattr("fineq_asic.equivalence.whole.prove_all", lambda *a, **k: wrong)
    result = run_fineq("equivalence", "--output", tmp_path)
    assert result.code == 1 and "error: row of core is not proven equal to its RTL" in result.stderr
    assert "**2 pairs unproven**: sum<3>" in (tmp_path / "equivalence.md").read_text()


def test_undecided_proofs_are_said_to_be_so():
    proofs = [Proof("core", "row", True, None), Proof("core", "row", False, EquivalenceResult("row", True, 9, 0))]
    text = equivalence_run.markdown(proofs, {}, "command", 5)
    assert "2 modules and cores: 1 equal, 0 with unproven pairs, 1 not decided within the limit, 0 left" in text
    assert "| `core` | the whole core |  | not decided within the limit |" in text


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("equivalence", ["--size", "3x3"], "error: unknown size '3x3'"),
        ("equivalence", ["--design", "alu"], "error: no such design of size 5x7: alu"),
        ("equivalence", ["--output", "/proc/none"], "error: cannot read or write /proc/none"),
    ],
)
def test_bad_arguments(name, arguments, message, tmp_path):
    output = [] if "--output" in arguments else ["--output", tmp_path]
    result = run_fineq(name, *arguments, *output)
    assert result.code == 1 and message in result.stderr


WRITTEN = {
    "synth": "synth-5x7.md", "array-energy": "array-energy-5x7.md", "power-check": "power-check.md",
    "equivalence": "equivalence.md",
    "throughput": "throughput.md", "architecture": "architecture-blocks.png",
    "accelerator-blocks": "accelerator-blocks.md", "encodings": "encodings.md",
}  # fmt: skip


@pytest.fixture
def fake_steps(monkeypatch):
    """Steps that write one report each, in an instant; those named in the list given fail."""
    ran, failing = [], []

    def run(command, check):
        name = command[3]
        ran.append([name, *command[4:]])
        option = next(option for option in ("--output", "--report", "-o") if option in command)
        output = Path(command[command.index(option) + 1])
        (output / WRITTEN[name]).write_text(f"report of {name}\n")
        (output / "netlist.v").write_text("not a report\n")
        return type("Done", (), {"returncode": int(name in failing)})()

    monkeypatch.setattr(ppa_run.subprocess, "run", run)
    monkeypatch.setattr(ppa_run, "versions", lambda: {"Yosys": "1"})
    monkeypatch.setattr(ppa_run, "find_power_tools", lambda: {"sta": Path("sta")})
    monkeypatch.setattr(ppa_run, "find_openroad", missing)
    monkeypatch.delenv("FINEQ_MODELS", raising=False)
    return ran, failing


def missing():
    raise SynthesisError("OpenROAD is missing")


def ppa(tmp_path, *arguments):
    folders = ["--output", tmp_path / "run", "--results", tmp_path / "docs", "--size", "5x7"]
    return run_fineq("ppa", *folders, *arguments)


def test_ppa_runs_everything_and_publishes(tmp_path, fake_steps):
    ran, failing = fake_steps
    failing.append("equivalence")
    result = ppa(tmp_path, "--limit", "9")
    assert [command[0] for command in ran] == list(WRITTEN)
    proving = ran[list(WRITTEN).index("equivalence")]
    assert ["--limit", "9"] == proving[proving.index("--limit") :][:2]
    published = sorted(path.name for path in (tmp_path / "docs").iterdir())
    assert published == sorted({*WRITTEN.values(), "ppa.md"} - {"equivalence.md"})
    assert result.code == 1 and "error: equivalence failed: see above" in result.stderr
    assert "# layout: left as it is: OpenROAD is missing" in result.stdout
    assert "FINEQ_MODELS is not set: tables by model show the shipped model alone" in result.stdout
    text = (tmp_path / "docs" / "ppa.md").read_text()
    assert "[synth-5x7.md](synth-5x7.md)" in text and "| Yosys | 1 |" in text
    assert str(tmp_path) not in text and str(ROOT) not in text


def test_ppa_goes_on_where_it_was(tmp_path, fake_steps, monkeypatch):
    ran, failing = fake_steps
    failing.append("throughput")
    assert ppa(tmp_path).code == 1
    failing.clear()
    ran.clear()
    assert ppa(tmp_path).code == 0 and [command[0] for command in ran] == ["throughput"]
    (tmp_path / "run" / "power-check.md").write_text("something else\n")  # no longer what the step has written
    (tmp_path / "run" / "equivalence.md").unlink()
    ran.clear()
    assert ppa(tmp_path).code == 0 and [command[0] for command in ran] == ["power-check", "equivalence"]
    ran.clear()
    assert ppa(tmp_path).code == 0 and not ran
    assert ppa(tmp_path, "--step", "synth-5x7", "--fresh").code == 0 and len(ran) == 1
    ran.clear()
    (tmp_path / "run" / "synth-5x7.json").write_text("{}")  # what encodings read of another step
    assert ppa(tmp_path).code == 0 and [command[0] for command in ran] == ["encodings"]
    ran.clear()
    monkeypatch.setattr(ppa_run, "cache_key", lambda module, inputs, files: "another")
    assert ppa(tmp_path).code == 0 and len(ran) == len(WRITTEN)


def test_a_step_depends_on_the_code_of_its_command_alone(fake_steps):
    """A change of the layouts' report leaves the synthesis as it is, and draws the layouts again."""
    for step, decides in (("synth-16x16", False), ("layout", True)):
        command = next(each for each in ppa_run.steps() if each.name == step).command[0]
        files = deciding_files(commands()[command].module)
        assert any("fineq_asic/mapping/closure.py" in str(file) for file in files)
        assert any("fineq_reports/layout/" in str(file) for file in files) == decides


@pytest.mark.parametrize("tool", ["version", "compiler_version"])
def test_a_step_depends_on_the_programs_that_run_it(monkeypatch, tmp_path, tool):
    """Verilator and g++ make the throughput, the architecture and the runs with delays."""
    step = ppa_run.steps()[0]
    before = ppa_run.versions()
    assert {"Verilator", "g++", "OpenSTA", "pyosys", "library sha256"} <= set(before)
    monkeypatch.setattr(ppa_run.simulators, tool, lambda *names: "another\n")
    assert ppa_run.key(step, ppa_run.versions(), tmp_path) != ppa_run.key(step, before, tmp_path)


def test_a_step_depends_on_the_texts_that_the_package_carries():
    files = deciding_files(commands()["encodings"].module)
    assert {shipped_text_path(), shipped_calibration_path()} <= set(map(Path.resolve, files))


def test_ppa_with_a_step_that_is_none(tmp_path, fake_steps):
    result = ppa(tmp_path, "--step", "routing")
    assert (
        result.code == 1
        and "error: no step 'routing': choose from synth-5x7, array-energy, power-check" in result.stderr
    )
    result = run_fineq("ppa", "--output", "/proc/none")
    assert result.code == 1 and "error: cannot read or write /proc/none: No such file or directory" in result.stderr


def test_an_instance_keeps_its_activity_when_cut_out():
    """Two inverters behind one another, the second in a module of its own, which sees what the first drives.

    The first is in an instance whose name ends as that of a row does.
    """
    library = read_liberty(find_pdk().liberty)
    cell = Module(
        "cell", {"a": Port("input", [0]), "y": Port("output", [1])}, [Instance("u", "INV_X1", {"A": [0], "ZN": [1]})]
    )
    top = Module(
        "top",
        {"a": Port("input", [0]), "y": Port("output", [2])},
        [Instance("arrow_0", "cell", {"a": [0], "y": [1]}), Instance("row_0", "row", {"a": [1], "y": [2]})],
    )
    netlist = Netlist("top", {"top": top, "cell": cell, "row": dataclasses.replace(cell, name="row")})
    flat = flatten(netlist, library)
    activity = Activity(np.arange(1.0, flat.nets + 1), np.zeros(flat.nets), 5)
    part, found = power_comparison.cut_out(netlist, activity, library, "row")
    ports = {name: int(nets[0]) for name, (_, nets) in flatten(part, library).ports.items()}
    middle = next(pins["A"] for path, _, pins in named_cells(netlist, library) if path == ("row_0", "u"))
    assert part.top == "row"
    assert found.toggles[ports["a"]] == activity.toggles[middle]
    assert found.toggles[ports["y"]] == activity.toggles[int(flat.ports["y"][1][0])]
    with pytest.raises(SynthesisError, match="top has no instance of line"):
        power_comparison.cut_out(netlist, activity, library, "line")
