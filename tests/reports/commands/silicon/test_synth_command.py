"""`fineq synth` from the command line."""

import contextlib
import json
from pathlib import Path

import pytest
from helpers.running.command_line import run_fineq

from fineq_reports.commands.silicon.netlist_orders import command_line
from fineq_reports.synthesis import picture

ROOT = Path(__file__).parents[4]
DESIGNS = ("fineq_5x7_column_packed", "mac8x3_5x7_broadcast")


def synth(*arguments, **environment):
    return run_fineq("synth", *arguments, environment=environment)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    output = tmp_path_factory.mktemp("synth")
    designs = [word for name in DESIGNS for word in ("--design", name)]
    with contextlib.chdir(output.parent):  # a relative path, as `make synth` gives it
        result = synth("--size", "5x7", "--output", output.name, "--gaussian", "--activity-only", *designs)
    assert result.code == 0, result.stderr
    return result, output


def test_progress_and_files(report):
    result, output = report
    assert "fineq_5x7_column_packed: mapped for area (" in result.stdout
    assert "results bit-exact" in result.stdout
    assert sorted(path.name for path in output.glob("synth*")) == ["synth-5x7.json", "synth-5x7.md", "synth-5x7.png"]


def test_figures_hang_together(report):
    _, output = report
    document = json.loads((output / "synth-5x7.json").read_text())
    fineq, mac = document["designs"]
    for design in (fineq, mac):
        assert sum(design["area_um2"].values()) == pytest.approx(design["area_total_um2"])
        parts = [power["total"] for name, power in design["power_w"].items() if name != "total"]
        total = design["power_w"]["total"]["total"]
        assert sum(parts) == pytest.approx(total, rel=1e-4)
        assert design["power_with_glitches_w"]["total"]["total"] > total
        assert 0 < design["extra_transitions"] < 5 and 0 < design["settle_ns"] < 2.5
        assert design["results_known_after_reset"] > 100
        energy = total * design["cycles_per_vector"] * 2.5e-9 / 35 * 1e12
        assert design["energy_per_mac_pj"] == pytest.approx(energy, rel=1e-3)
        assert design["results_checked"] > 1000
        assert design["worst_slack_ns"] > 0
    assert mac["cycles_per_vector"] == 1.0 < fineq["cycles_per_vector"] < 3.0
    assert len(document["tools"]["library sha256"]) == 64
    assert document["paper_table_iii"]["area_mm2"]["systolic array"] == 0.954


def test_markdown_has_the_tables_and_no_paths(report):
    _, output = report
    text = (output / "synth-5x7.md").read_text()
    headings = ["## Comparison", "## Area by block, µm²", "## Checks of the netlists", "## Worst paths", "## Tools"]
    for heading in (*headings, "## Power by block, mW, glitches counted", "## Glitches", "## Bars"):
        assert heading in text
    assert "*paper, Table III, 64x64: FineQ*" in text
    assert str(ROOT) not in text and str(output) not in text


def test_the_command_says_what_decides(report, tmp_path):
    _, output = report
    designs = " ".join(f"--design {name}" for name in DESIGNS)
    command = f"fineq synth --size 5x7 --gaussian {designs} --activity-only"
    assert json.loads((output / "synth-5x7.json").read_text())["command"] == command
    assert f"Made by `{command}`" in (output / "synth-5x7.md").read_text()
    line = command_line("synth", "16x16", 2.0, tmp_path / "small", False, [], models=["a", "b"])
    assert line == "FINEQ_MODELS=<directory of a, b> fineq synth --size 16x16 --clock-ns 2 --model small"


def test_redraw_gives_the_same_picture(report, tmp_path):
    _, output = report
    result = synth("--redraw", output / "synth-5x7.json", "--output", tmp_path / "again")
    assert result.code == 0 and [path.name for path in (tmp_path / "again").iterdir()] == ["synth-5x7.png"]
    assert (tmp_path / "again" / "synth-5x7.png").read_bytes() == (output / "synth-5x7.png").read_bytes()


def test_bars_of_the_picture_end_at_the_figures_of_the_report():
    for size in ("16x16", "64x64"):
        document = picture.read_report(ROOT / "docs" / "results" / f"synth-{size}.json")
        area, power, energy = picture.panels(document, document["designs"])
        for index, design in enumerate(document["designs"]):
            assert area.totals()[index] == pytest.approx(design["area_per_element_um2"], rel=1e-4)
            assert power.totals()[index] == pytest.approx(
                design["power_with_glitches_w"]["total"]["total"] * 1e3, rel=1e-4
            )
            assert energy.totals()[index] == pytest.approx(design["energy_per_mac_with_glitches_pj"], rel=1e-3)
        assert all(set(panel.parts) <= set(panel.colours) for panel in (area, power, energy))


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "error: cannot read {file}: No such file or directory"),
        ("{}", "error: {file} is not a synthesis report: give the .json file of `make synth`"),
        ("# Synthesis", "is not a synthesis report"),
    ],
)
def test_redraw_of_something_else(text, message, tmp_path):
    file = tmp_path / "report.json"
    if text is not None:
        file.write_text(text)
    result = synth("--redraw", file, "--output", tmp_path / "out")
    assert result.code == 1 and message.format(file=file) in result.stderr and not (tmp_path / "out").exists()


def test_bars_are_computed(report):
    _, output = report
    document = json.loads((output / "synth-5x7.json").read_text())
    fineq = document["designs"][0]
    found = {bar["text"]: bar for bar in document["bars"]}
    area = found["area of a unary array per processing element"]
    assert area["found"] == f"{fineq['area_per_element_um2']:.1f} µm²" and area["met"] is False
    assert found["the same on every model and recipe"]["met"] is None  # Gaussian rows only


def test_same_report_twice_from_kept_netlists(report, tmp_path):
    """Byte-identical, whether the netlists are mapped again or come from the cache."""
    _, output = report
    cache = tmp_path / "netlists"
    designs = [word for name in DESIGNS for word in ("--design", name)]
    arguments = ["--size", "5x7", "--gaussian", "--activity-only", "--cache", cache, *designs]
    for run, kept in (("first", False), ("second", True)):
        result = synth(*arguments, "--output", tmp_path / run)
        assert result.code == 0 and ("netlist from netlists" in result.stdout) == kept
        for name in ("synth-5x7.md", "synth-5x7.json", "synth-5x7.png"):
            assert (tmp_path / run / name).read_bytes() == (output / name).read_bytes()


@pytest.mark.regress
def test_same_report_twice(report, tmp_path):
    _, output = report
    designs = [word for name in DESIGNS for word in ("--design", name)]
    assert synth("--size", "5x7", "--output", tmp_path, "--gaussian", "--activity-only", *designs).code == 0
    for name in ("synth-5x7.md", "synth-5x7.json", "synth-5x7.png"):
        assert (tmp_path / name).read_bytes() == (output / name).read_bytes()


def test_missed_clock_is_reported(tmp_path):
    arguments = ["--size", "5x7", "--output", tmp_path, "--gaussian", "--activity-only"]
    arguments += ["--design", DESIGNS[0], "--clock-ns", "0.5"]
    result = synth(*arguments, "--strict")
    assert result.code == 1
    assert "clock not met: fineq_5x7_column_packed: a clock of 0.5 ns is missed by" in result.stderr
    assert "## Clock not met" in (tmp_path / "synth-5x7.md").read_text()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--size", "3x3"], "error: unknown size '3x3': choose one of 64x64, 16x16, 5x7"),
        (["--size", "5x7", "--design", "alu"], "error: unknown design 'alu': choose from fineq_5x7_packed"),
        (["--size", "5x7", "--clock-ns", "-1"], "error: the clock period is -1 ns: it must be positive"),
        (["--size", "5x7", "--output", "/proc/none"], "error: cannot read or write /proc/none"),
    ],
)
def test_bad_arguments(arguments, message, tmp_path):
    output = [] if "--output" in arguments else ["--output", tmp_path]
    result = synth(*arguments, "--gaussian", *output)
    assert result.code == 1
    assert message in result.stderr


def test_missing_tools(tmp_path):
    result = synth("--size", "5x7", "--gaussian", "--output", tmp_path, OPENSTA_EXE="/nowhere/sta")
    assert result.code == 1 and "error: OpenSTA is missing" in result.stderr
    result = synth("--size", "5x7", "--gaussian", "--output", tmp_path, FINEQ_PDK=str(tmp_path))
    assert result.code == 1 and "error: no stdcells.lib in" in result.stderr
    result = synth("--size", "5x7", "--output", tmp_path, FINEQ_MODELS=str(tmp_path))
    assert result.code == 1 and "there is no model directory in it" in result.stderr
