"""Timing of small netlists with OpenSTA, and output that must not be believed."""

import pytest
from helpers.netlists.mapped_rows import DESIGN, map_text
from helpers.netlists.ppa_netlists import latch_rows

from fineq_asic.errors import SynthesisError
from fineq_asic.library.pdk import find_pdk
from fineq_asic.netlist.fanout import insert_buffers
from fineq_asic.netlist.verilog import write_verilog
from fineq_asic.timing.opensta import (
    WIRE_LOAD,
    Constraints,
    TimingReport,
    analyse_timing,
    check_sta_output,
    find_sta,
    thin,
)


@pytest.fixture()
def mapped(tmp_path, library):
    return map_text(DESIGN, "top", tmp_path / "map", library)


def test_timing_met_and_missed(mapped, library, tmp_path):
    sta = find_sta()
    insert_buffers(mapped, library, library.wire_loads[WIRE_LOAD])
    write_verilog(mapped, tmp_path / "netlist.v")
    report = analyse_timing(mapped, tmp_path / "netlist.v", Constraints(2.5), find_pdk(), sta, tmp_path)
    assert report.met and 400 < report.max_clock_mhz < 5000
    assert report.hold_slack_ns > 0
    missed = analyse_timing(mapped, tmp_path / "netlist.v", Constraints(0.2), find_pdk(), sta, tmp_path)
    assert not missed.met
    assert missed.worst_slack_ns == pytest.approx(report.worst_slack_ns - 2.3, abs=1e-3)
    assert missed.verdict().startswith(f"a clock of 0.2 ns is missed by {-missed.worst_slack_ns:.3f} ns from ")


def test_thin_netlist_has_the_same_slack(library, tmp_path, monkeypatch):
    from fineq_asic.timing import opensta as timing

    monkeypatch.setattr(timing, "_MIN_THINNED_CELLS", 10)
    netlist = map_text(DESIGN, "top", tmp_path / "map", library)
    loads = insert_buffers(netlist, library, library.wire_loads[WIRE_LOAD])
    thinned = thin(netlist, loads, library)
    assert thinned.multiplicity == {"top": 1, "row": 2, "row_load": 2}
    stand_in = thinned.modules["row_load"]
    for bit in (b for port in stand_in.ports.values() if port.direction == "input" for b in port.bits):
        load = 1.70023 * sum(instance.pins["A"] == [bit] for instance in stand_in.instances)
        assert loads["row", bit] <= load < loads["row", bit] + 1.70023
    slacks = []
    for number, part in enumerate((netlist, thinned)):
        write_verilog(part, tmp_path / f"{number}.v")
        report = analyse_timing(part, tmp_path / f"{number}.v", Constraints(), find_pdk(), find_sta(), tmp_path)
        slacks.append(report.worst_slack_ns)
    assert slacks[1] == pytest.approx(slacks[0], abs=0.01)
    assert slacks[1] <= slacks[0] + 1e-4  # stand-ins load at least as much


def test_timing_of_latches(library, tmp_path):
    """Row register to latch: what arrives in the high phase goes through, and is late after it."""
    netlist = latch_rows()
    write_verilog(netlist, tmp_path / "netlist.v")

    def analyse(clock_ns):
        constraints = Constraints(clock_ns)
        return analyse_timing(netlist, tmp_path / "netlist.v", constraints, find_pdk(), find_sta(), tmp_path)

    report = analyse(2.5)
    assert 2.0 < report.worst_slack_ns < 2.5 and report.path[1].startswith("q")  # register, latch, output
    arrival = 1.2429 - report.latch_margin_ns  # pulse width and setup time of the library
    assert 0.05 < arrival < 0.15
    limit = 2.5 - 2 * report.latch_margin_ns
    assert report.max_clock_mhz == pytest.approx(1000 / max(limit, 2.5 - report.worst_slack_ns))
    late = analyse(0.12)
    assert not late.met and late.verdict().startswith("a clock of 0.12 ns is missed by ")


def test_half_a_netlist_is_an_error(mapped, tmp_path):
    write_verilog(mapped, tmp_path / "netlist.v")
    text = (tmp_path / "netlist.v").read_text()
    (tmp_path / "netlist.v").write_text(text.replace("endmodule", "endmodule garbage(", 1))
    with pytest.raises(SynthesisError, match="OpenSTA reports a problem: .*rror"):
        analyse_timing(mapped, tmp_path / "netlist.v", Constraints(), find_pdk(), find_sta(), tmp_path)
    lines = [line for line in text.splitlines(keepends=True) if "HA_X1" not in line]
    dropped = next(i for i, line in enumerate(lines) if "XOR2" in line or "XNOR2" in line)
    (tmp_path / "netlist.v").write_text("".join(lines[:dropped] + lines[dropped + 1 :]))
    with pytest.raises(SynthesisError, match=r"OpenSTA linked \d+ instances of top, the netlist has \d+"):
        analyse_timing(mapped, tmp_path / "netlist.v", Constraints(), find_pdk(), find_sta(), tmp_path)


@pytest.mark.parametrize(
    "output, status, message",
    [
        ("Error: file.v line 3, syntax error\nFINEQ: end", 0, "reports a problem: Error: file.v line 3, syntax error"),
        ("Warning: module FA_X9 not found. Creating black box\nFINEQ: end", 0, "FA_X9 not found"),
        ("fine so far", 0, "stopped early with exit status 0"),
        ("FINEQ: end", 139, "stopped early with exit status 139"),
    ],
)
def test_sta_output_is_scanned(output, status, message):
    with pytest.raises(SynthesisError, match=message):
        check_sta_output(output, status, "timing.log")


def test_missing_sta(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("OPENSTA_EXE", raising=False)
    with pytest.raises(SynthesisError, match=r"OpenSTA is missing \(no sta on the PATH\): install the package opensta"):
        find_sta()
    monkeypatch.setenv("OPENSTA_EXE", "/nowhere/sta")
    with pytest.raises(SynthesisError, match="OPENSTA_EXE=/nowhere/sta is not a program"):
        find_sta()


def test_max_clock():
    assert TimingReport(2.5, 0.5, 0.1, ("a", "b")).max_clock_mhz == pytest.approx(500)
