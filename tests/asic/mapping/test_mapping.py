"""Mapping, buffering and timing of a small design."""

from pathlib import Path

import pytest
from ppa_netlists import latch_rows, netlist_of

from fineq_asic.errors import SynthesisError
from fineq_asic.flows.other_power_tools import power_script, read_total
from fineq_asic.library.pdk import find_pdk
from fineq_asic.mapping import yosys as mapping
from fineq_asic.mapping.yosys import MappingOptions, map_design
from fineq_asic.netlist.fanout import BufferOptions, insert_buffers
from fineq_asic.netlist.flat import flatten, logic_levels
from fineq_asic.netlist.verilog import write_verilog
from fineq_asic.timing.loads import net_loads
from fineq_asic.timing.opensta import (
    WIRE_LOAD,
    Constraints,
    TimingReport,
    analyse_timing,
    check_sta_output,
    find_sta,
    thin,
)

ADDER = """
module fineq_full_adder(a, b, c, sum, carry);
  input a, b, c; output sum, carry;
  assign {carry, sum} = a + b + c;
endmodule
"""
DESIGN = """
module row(clk, load, enable, data, select, total);
  input clk, load, enable; input [7:0] data, select; output reg [8:0] total;
  reg [7:0] kept;
  wire [7:0] picked = kept & select, sum, carry;
  genvar i;
  generate for (i = 0; i < 8; i = i + 1) begin : bits
    fineq_full_adder adder(.a(picked[i]), .b(data[i]), .c(total[i]), .sum(sum[i]), .carry(carry[i]));
  end endgenerate
  always @(posedge clk) if (load) kept <= data;
  always @(posedge clk) if (enable) total <= {carry, 1'b0} ^ sum;
endmodule
module top(clk, load, enable, data, select, totals);
  input clk, enable; input [3:0] load; input [7:0] data, select; output [35:0] totals;
  genvar i;
  generate for (i = 0; i < 4; i = i + 1) begin : rows
    row r(clk, load[i], enable, data, select, totals[9 * i +: 9]);
  end endgenerate
endmodule
"""
OPTIONS = MappingOptions(keep_modules=("row",))


def map_text(text, top, work, library, options=OPTIONS):
    work.mkdir(exist_ok=True)
    modules = {
        part.split("(")[0].strip(): f"module {part}" for part in (ADDER + text).split("module ")[1:] if "(" in part
    }
    for name, part in modules.items():
        (work / f"{name}.v").write_text(part.rpartition("endmodule")[0] + "endmodule\n", encoding="utf-8")
    return map_design([work / f"{name}.v" for name in modules], top, options, find_pdk(), library, work)


@pytest.fixture()
def mapped(tmp_path, library):
    return map_text(DESIGN, "top", tmp_path / "map", library)


def test_repeated_modules_stay_and_adders_become_cells(mapped, library):
    assert mapped.multiplicity == {"top": 1, "row": 4}
    counts = mapped.cell_counts()
    assert counts["FA_X1"] == 4 * 8
    assert sum(count for kind, count in counts.items() if kind.startswith("DFF")) == 4 * 17
    assert sum(count for kind, count in counts.items() if kind.startswith("CLKGATE")) == 4 * 2
    assert mapped.area(library) == pytest.approx(sum(library.cell(k).area * n for k, n in counts.items()))


def test_same_bytes_twice(tmp_path, library):
    texts = []
    for run in ("first", "second"):
        netlist = map_text(DESIGN, "top", tmp_path / run, library)
        insert_buffers(netlist, library, library.wire_loads[WIRE_LOAD])
        write_verilog(netlist, tmp_path / run / "netlist.v")
        texts.append((tmp_path / run / "netlist.v").read_bytes())
    assert texts[0] == texts[1]


INFERRED_LATCH = "module top(e, d, q); input e, d; output reg q; always @* if (e) q = d; endmodule"


def test_latches_are_mapped(tmp_path, library):
    top = "module top(e, d, q); input e, d; output q; fineq_latch cell_ (.enable(e), .d(d), .q(q)); endmodule\n"
    latch = INFERRED_LATCH.replace("top(e,", "fineq_latch(enable,").replace("input e,", "input enable,")
    (tmp_path / "fineq_latch.v").write_text(latch.replace("if (e)", "if (enable)"), encoding="utf-8")
    (tmp_path / "top.v").write_text(top, encoding="utf-8")
    files = [tmp_path / "top.v", tmp_path / "fineq_latch.v"]
    netlist = map_design(files, "top", OPTIONS, find_pdk(), library, tmp_path / "latch")
    assert netlist.cell_counts()["DLH_X1"] == 1


def test_latches_that_nobody_placed_are_refused(tmp_path, library):
    with pytest.raises(SynthesisError, match=r"the RTL has a latch that nobody asked for .*: place fineq_latch where"):
        map_text(INFERRED_LATCH, "top", tmp_path / "latch", library)


def test_unmapped_cells_are_named(library):
    netlist = netlist_of(["a"], ["y"], [("$_DLATCH_P_", {"D": "a", "Q": "y"}), ("$_DLATCH_P_", {"D": "a"})])
    with pytest.raises(SynthesisError, match=r"cells that are not in the library: \$_DLATCH_P_ \(2\), as in top"):
        netlist.check_mapped(library)


def test_yosys_errors_are_passed_on(tmp_path, library):
    with pytest.raises(SynthesisError, match="Yosys failed: .*ERROR.*yosys.log"):
        map_text("module top(a; endmodule", "top", tmp_path / "bad", library)


def test_missing_pyosys(tmp_path, library, monkeypatch):
    program = 'import sys; sys.modules["pyosys"] = None; from pyosys import libyosys'
    run = mapping.subprocess.run
    monkeypatch.setattr(mapping.subprocess, "run", lambda command, **k: run([command[0], "-c", program], **k))
    with pytest.raises(SynthesisError, match="pyosys is missing: install it with pip install"):
        map_text(DESIGN, "top", tmp_path / "none", library)


def test_combinational_loop(library):
    netlist = netlist_of(["a"], ["y"], [("NAND2_X1", {"A1": "a", "A2": "y", "ZN": "y"})])
    with pytest.raises(SynthesisError, match="combinational loop"):
        logic_levels(flatten(netlist, library))


def test_buffers_keep_every_load_in_bounds(library):
    cells = [("INV_X1", {"A": "a", "ZN": "x"})] + [("INV_X1", {"A": "x", "ZN": f"y{i}"}) for i in range(300)]
    netlist = netlist_of(["a"], [], cells)
    options = BufferOptions(utilisation=0.4)
    wire = library.wire_loads[WIRE_LOAD]
    before = netlist.area(library)
    insert_buffers(netlist, library, wire, options)
    assert netlist.area(library) > before
    flat = flatten(netlist, library)
    loads = net_loads(flat, wire, 0.0)
    for group in flat.groups.values():
        for pin in group.cell.outputs:
            assert (loads[group.nets[pin.name]] <= options.utilisation * pin.max_capacitance + 1e-6).all()
    assert netlist.cell_counts()["INV_X1"] == 301


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


def test_power_script_of_other_tools(mapped):
    script = power_script(mapped, Path("n.v"), Path("a.saif"), Path("c.sdc"), find_pdk()).splitlines()
    assert [line.split()[0] for line in script] == [
        "if",
        "read_liberty",
        "read_verilog",
        "link_design",
        "source",
        "read_saif",
        "report_power",
    ]
    assert script[0].startswith("if {[llength [info commands read_lef]]} { read_lef /")  # OpenROAD alone has it
    assert script[5].startswith("read_saif -scope top /")


def test_total_of_a_power_report():
    text = "Clock 1e-3 1e-3 1e-3 3e-3 5%\nTotal   5.33027e-03 4.31310e-03 5.56378e-04 1.01997e-02 100.0%\n"
    assert read_total(text) == pytest.approx(1.01997e-2)
    with pytest.raises(SynthesisError, match="the power report has no total"):
        read_total("nothing")
