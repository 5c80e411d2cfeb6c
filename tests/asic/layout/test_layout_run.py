"""A run of the layout flow with a stand-in for the tool: results, report, errors, command line."""

import dataclasses
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.netlists.layout_samples import DEF, OUTPUT

from fineq_asic.errors import SynthesisError
from fineq_asic.layout.block import FlatCell
from fineq_asic.layout.flow import lay_out
from fineq_asic.layout.results import categories, read_result, sections
from fineq_asic.layout.routed import PlacedCell, read_routed
from fineq_asic.layout.tool import find_openroad, openroad_version, run_openroad
from fineq_asic.timing.opensta import OPENROAD_VARIABLE
from fineq_reports.layout.publish import publish_layout
from fineq_reports.layout.report import read_layout_report, write_summary

REPOSITORY = Path(__file__).parents[3]


def result_of(block, layout, library, tmp_path, output=OUTPUT, drc=""):
    (tmp_path / "drc.rpt").write_text(drc, encoding="utf-8")
    return read_result("and", "an AND", block, layout, output, tmp_path / "drc.rpt", library, 2.5, "a test")


def test_results(block, layout, library, tmp_path):
    drc = "violation type: Short\n\tsrcs: net:a net:b\n  violation type: Metal Spacing\n"
    result = result_of(block, layout, library, tmp_path, drc=drc)
    assert result.violations == 2
    assert (result.setup_slack_ns, result.hold_slack_ns, result.met) == (1.2345, -0.01, False)
    assert (result.skew_ns, result.latency_ns) == (0.0123, 0.2)
    assert result.path == ("a (in)", "and2_x1_0/ZN (AND2_X1)")
    assert result.electrical_violations == 1
    assert (result.annotated_pins, result.unannotated_pins) == (9, 3)
    assert result.power == {"sequential": (1e-5, 2e-6, 3e-7), "clock": (4e-6, 3e-6, 2e-7)}
    assert result.total_power == pytest.approx(1.95e-5)
    assert {kind: count for kind, count in result.cells.items() if count} == {
        "other logic": 1,
        "registers and clock gates": 1,
        "clock tree": 1,
        "fillers": 1,
    }
    assert result.area_before == pytest.approx(1.064 + 4.522)
    assert result.area_after == pytest.approx(1.064 + 4.522 + library.cells["BUF_X4"].area)
    assert result.utilisation == pytest.approx(result.area_after / (3.8 * 2.8))
    assert result.vias == 1


def test_categories(block, layout, library):
    """By function and by what the clock passes: names of instances and cells say nothing."""
    names = {"FA_X1": "a", "HA_X1": "b", "DLH_X1": "c", "CLKGATE_X1": "d", "LOGIC0_X1": "e", "AND2_X1": "f"}
    kept = [FlatCell(name, kind, {}) for kind, name in names.items()]
    new = {"clkbuf_0": "BUF_X1", "root": "CLKBUF_X3", "load": "INV_X1", "behind_gate": "BUF_X4", "tie": "LOGIC1_X1"}
    nets = {
        "clk": (("PIN", "clk"), ("root", "A")),
        "n1": (("root", "Z"), ("load", "A"), ("d", "CK"), ("c", "G")),
        "n2": (("d", "GCK"), ("behind_gate", "A")),
        "n3": (("behind_gate", "Z"), ("c", "G")),
        "data": (("PIN", "x"), ("clkbuf_0", "A")),
    }
    cells = [*((c.name, c.kind) for c in kept), *new.items(), ("gap", "FILLCELL_X8")]
    routed = dataclasses.replace(layout, cells=tuple(PlacedCell(*c, (0, 0, 1, 1)) for c in cells), nets=nets)
    found = categories(dataclasses.replace(block, cells=tuple(kept)), routed, library)
    assert found["a"] == found["b"] == "full and half adders" and found["f"] == "other logic"
    assert found["c"] == found["d"] == "registers and clock gates"
    assert found["e"] == found["tie"] == "tie cells" and found["gap"] == "fillers"
    assert found["root"] == found["load"] == found["behind_gate"] == "clock tree"
    assert found["clkbuf_0"] == "added buffers"
    stranger = dataclasses.replace(layout, cells=(*layout.cells, PlacedCell("odd", "DFF_X1", (0, 0, 1, 1))))
    with pytest.raises(SynthesisError, match="routed.def has a DFF_X1 odd that the netlist has not"):
        categories(block, stranger, library)


@pytest.mark.parametrize(
    ("lost", "text"),
    [
        ("worst slack min -0.0100", "reports no slack"),
        ("  -0.0123 setup skew", "reports no clock skew"),
        ("60.0%", "reports no power"),
    ],
)
def test_missing_figures_are_named(lost, text, block, layout, library, tmp_path):
    output = OUTPUT.replace(lost, "").replace("40.0%", "" if lost == "60.0%" else "40.0%")
    with pytest.raises(SynthesisError, match=text):
        result_of(block, layout, library, tmp_path, output)


def test_missing_violation_list_is_named(block, layout, library, tmp_path):
    with pytest.raises(SynthesisError, match="there is no drc.rpt: the routing did not finish"):
        read_result("and", "an AND", block, layout, OUTPUT, tmp_path / "drc.rpt", library, 2.5, "")


def test_wires_that_the_router_does_not_know_are_refused(block, layout, library, tmp_path):
    output = OUTPUT.replace("metal4 = 2 um", "metal4 = 7 um")
    with pytest.raises(SynthesisError, match="routed.def has 2 um of wire on metal4, the router says 7: it was read"):
        result_of(block, layout, library, tmp_path, output=output)
    output = OUTPUT.replace("Total wire length", "Total length")
    with pytest.raises(SynthesisError, match="the layout run reports no wire length: see openroad.log"):
        result_of(block, layout, library, tmp_path, output=output)


def test_setup_slack_of_latches(block, layout, library, tmp_path):
    """A latch that borrows time has slack 0, which says nothing; one whose data is too late counts."""
    for worst, expected in (("0.0000", 1.2345), ("-0.2000", -0.2)):
        output = OUTPUT.replace("worst slack max 1.2345", f"worst slack max {worst}")
        (tmp_path / "drc.rpt").write_text("", encoding="utf-8")
        result = read_result("and", "an AND", block, layout, output, tmp_path / "drc.rpt", library, 2.5, "")
        assert result.setup_slack_ns == expected
    with pytest.raises(SynthesisError, match="the layout run reports no setup path: see openroad.log"):
        text = OUTPUT.replace("slack (MET)", "")
        read_result("and", "an AND", block, layout, text, tmp_path / "drc.rpt", library, 2.5, "")


def test_sections():
    assert sections("x\nFINEQ: a b\n1\nFINEQ: end\n") == {"a b": "\n1\n", "end": "\n"}


def fake_openroad(directory, body):
    """A program in place of OpenROAD."""
    program = directory / "openroad"
    program.write_text(f"#!/bin/sh\nif [ \"$1\" = -version ]; then echo '26Q1-7 features'; exit; fi\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def test_layout_with_a_stand_in(prepared, technology, library, tmp_path, monkeypatch):
    answers = tmp_path / "answers"
    answers.mkdir()
    (answers / "routed.def").write_text(DEF, encoding="utf-8")
    (answers / "log").write_text(OUTPUT, encoding="utf-8")
    body = f"cp {answers}/routed.def routed.def; : > drc.rpt; cat {answers}/log"
    program = fake_openroad(tmp_path, body)
    monkeypatch.setenv(OPENROAD_VARIABLE, str(program))
    assert openroad_version(find_openroad()) == "26Q1-7"
    written = []
    for directory in ("one", "two"):
        finished = lay_out(prepared, technology, library, find_openroad(), written.append)
        publish_layout(finished, technology, library, tmp_path / directory, written.append)
    assert f"wrote {tmp_path / 'one' / 'layout-and.md'}" in written
    steps = [line for line in written if re.fullmatch(r" +0 s  worst slack", line)]
    kept = [line for line in written if line == "and: nothing has changed since the last run, its routing is kept"]
    assert (len(steps), len(kept)) == (1, 1), "the second run takes what the first has routed"
    (prepared.work / "constraints.sdc").write_text("# another clock\n", encoding="utf-8")
    lay_out(prepared, technology, library, find_openroad(), written.append)
    assert len([line for line in written if line.endswith("worst slack")]) == 2
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {"layout-and.md", "layout-and.json", "layout-and.png"}
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    text = (tmp_path / "one" / "layout-and.md").read_text(encoding="utf-8")
    assert "hold missed by 0.010 ns" in text and "OpenROAD: 26Q1-7" in text
    assert "antennas not checked: the technology LEF has no antenna rules" in text
    assert str(tmp_path) not in text
    result = read_layout_report(tmp_path / "one" / "layout-and.json")
    layout = read_routed(prepared.work / "routed.def", technology)
    expected = result_of(prepared.block, layout, library, tmp_path)
    assert result == dataclasses.replace(expected, title="a registered AND", activity="")
    summary = write_summary([result, result], tmp_path).read_text(encoding="utf-8")
    assert summary.count("[a registered AND](layout-and.md)") == 2
    assert (prepared.work / "routed.gds").is_file()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("echo 'FINEQ: placement'; echo '[ERROR GPL-0301] utilisation too high'; exit 1",
         r"failed in step 'placement': \[ERROR GPL-0301\] utilisation too high \(log: openroad.log\)"),
        ("echo 'FINEQ: routing'", "failed in step 'routing': exit status 0"),
        ("echo 'Error: layout.tcl, 7 no such net'; echo 'FINEQ: end'",
         "failed in step 'end': Error: layout.tcl, 7 no such net"),
        ("exit 3", "failed in step 'start': exit status 3"),
    ],
)  # fmt: skip
def test_failing_tool_is_reported(body, text, tmp_path):
    with pytest.raises(SynthesisError, match=text):
        run_openroad(fake_openroad(tmp_path, body), "exit\n", tmp_path, 1)


def test_missing_tool_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(OPENROAD_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(SynthesisError, match=r"OpenROAD is missing \(OPENROAD_EXE=.*none is not a program\): install"):
        find_openroad()
    monkeypatch.delenv(OPENROAD_VARIABLE)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SynthesisError, match=r"OpenROAD is missing \(no openroad on the PATH\): install a package"):
        find_openroad()


def run_script(*arguments, **environment):
    command = [sys.executable, "-m", "fineq", "pnr", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def test_command_line_without_openroad(tmp_path):
    result = run_script("--output", str(tmp_path / "out"), OPENROAD_EXE=str(tmp_path / "none"))
    assert result.returncode == 1 and not (tmp_path / "out").exists()
    assert result.stderr.startswith("error: OpenROAD is missing (OPENROAD_EXE=")
    assert result.stderr.count("\n") == 1


def test_command_line_dry_run(tmp_path):
    result = run_script("--dry-run", "--design", "row-7", "--output", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert re.search(r"row-7: \d+ cells, script of \d+ commands checked by a Tcl interpreter", result.stdout)
    script = (tmp_path / "row-7" / "layout.tcl").read_text(encoding="utf-8")
    assert "clock_tree_synthesis" in script and "read_saif" not in script


def test_unknown_layout_is_refused(tmp_path):
    result = run_script("--dry-run", "--design", "row", "--output", str(tmp_path))
    assert result.returncode == 1 and result.stderr.startswith("error: unknown layout 'row': choose one of row-64")
