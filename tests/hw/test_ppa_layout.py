"""Layout flow: LEF, flat netlist, script and its dry check, DEF, GDS, results, report; OpenROAD is not needed."""

import dataclasses
import os
import re
import stat
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fineq_hw.ppa.activity import Activity
from fineq_hw.ppa.errors import SynthesisError
from fineq_hw.ppa.layout import gds
from fineq_hw.ppa.layout.block import Block, make_block, module_path, write_flat_verilog
from fineq_hw.ppa.layout.check import check_script, split_commands
from fineq_hw.ppa.layout.def_file import read_def
from fineq_hw.ppa.layout.flow import lay_out, prepare, with_utilisation
from fineq_hw.ppa.layout.lef import read_lef
from fineq_hw.ppa.layout.report import read_layout_report, write_summary
from fineq_hw.ppa.layout.results import category, read_result, sections
from fineq_hw.ppa.layout.saif import nets_in_core, write_block_saif
from fineq_hw.ppa.layout.script import LayoutOptions
from fineq_hw.ppa.layout.targets import TARGETS, find_target
from fineq_hw.ppa.layout.technology import Technology
from fineq_hw.ppa.layout.tool import find_openroad, openroad_version, run_openroad
from fineq_hw.ppa.liberty import read_liberty
from fineq_hw.ppa.netlist import Instance, Module, Netlist, Port, flatten
from fineq_hw.ppa.pdk import Pdk, find_pdk
from fineq_hw.ppa.timing import OPENROAD_VARIABLE

sys.path.insert(0, str(Path(__file__).parent))
from ppa_netlists import netlist_of  # noqa: E402

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def technology():
    return Technology(find_pdk())


@pytest.fixture(scope="module")
def library(technology):
    return read_liberty(technology.pdk.liberty)


def registered_and():
    """Two inputs, an AND and a flip-flop."""
    return netlist_of(
        ["clk", "a", "b"],
        ["q"],
        [("AND2_X1", {"A1": "a", "A2": "b", "ZN": "d"}), ("DFF_X1", {"CK": "clk", "D": "d", "Q": "q"})],
    )


def two_rows():
    """A top with two copies of a module `row` (an inverter) in series."""
    row = Module(
        "row",
        {"x": Port("input", [1]), "y": Port("output", [2])},
        [Instance("invert", "INV_X1", {"A": [1], "ZN": [2]})],
    )
    rows = [Instance(f"row_{i}", "row", {"x": [1 + i], "y": [2 + i]}) for i in range(2)]
    top = Module("top", {"a": Port("input", [1]), "z": Port("output", [3])}, rows)
    return Netlist("top", {"top": top, "row": row})


@pytest.fixture
def block(library):
    return make_block(registered_and(), library)


@pytest.fixture
def prepared(block, technology, tmp_path):
    return prepare("and", "a registered AND", block, technology, LayoutOptions(), tmp_path / "work")


# LEF and wires


def test_lef_has_layers_cells_and_vias(technology):
    lef = technology.lef
    assert [layer.name for layer in lef.routing_layers] == [f"metal{n}" for n in range(1, 11)]
    metal4 = lef.layers["metal4"]
    assert (metal4.direction, metal4.width, metal4.pitch, metal4.spacing) == ("VERTICAL", 0.14, 0.28, 0.14)
    assert lef.layers["via4"].kind == "CUT" and lef.layers["via4"].resistance == 3.0
    adder = lef.macros["FA_X1"]
    assert (adder.width, adder.height) == (3.04, 1.4)
    assert adder.pins["CO"] == "signal" and adder.pins["VDD"] == "power"
    assert lef.sites == {technology.site: (0.19, 1.4)}
    assert ("via1", (-0.035, -0.035, 0.035, 0.035)) in lef.vias["via1_0"]


def test_cell_areas_of_lef_and_liberty_agree(technology, library):
    for name, macro in technology.lef.macros.items():
        if name in library.cells:
            assert macro.width * macro.height == pytest.approx(library.cells[name].area), name


def test_truncated_lef_is_refused(technology, tmp_path):
    text = technology.cell_lef.read_text(encoding="utf-8")
    short = tmp_path / "short.lef"
    short.write_text(text[: text.index("END AND2_X1")], encoding="utf-8")
    with pytest.raises(SynthesisError, match="short.lef ends inside AND2_X1: the file is cut off"):
        read_lef(short)


def test_wire_models_by_hand(technology):
    models = technology.wire_models()
    # metal3: 0.07 um wide, 0.14 thick, 0.07 apart; 2.7745e-5 pF/um2, 2.5157e-5 pF/um an edge, 0.25 ohm a square
    own = 1e3 * (0.07 * 2.7745e-5 + 2 * 2.5157e-5)
    assert models["metal3"].capacitance == pytest.approx(own + 2.5 * 8.854e-3 * 0.14 / 0.07)
    assert models["metal3"].resistance == pytest.approx(0.25 / 0.07)


def test_misprinted_edge_capacitance_is_replaced(technology):
    models = technology.wire_models()
    # the LEF has 2.3863e-06 for metal5 and 2.3863e-05 for metal6
    assert models["metal5"].capacitance == pytest.approx(models["metal6"].capacitance, rel=0.02)


def test_missing_lef_is_named(technology, tmp_path):
    (tmp_path / "rtk-tech.lef").write_text("", encoding="utf-8")
    with pytest.raises(SynthesisError, match="no stdcells.lef in local directory: layouts need the LEF and GDS"):
        Technology(Pdk(tmp_path, "local directory")).check()


# flat netlist


def test_block_of_the_whole_netlist_is_flat(library):
    block = make_block(two_rows(), library)
    assert [cell.name for cell in block.cells] == ["row_0__invert", "row_1__invert"]
    first, second = block.cells
    assert first.pins["ZN"] == second.pins["A"]
    assert block.ports == {"a": ("input", (first.pins["A"],)), "z": ("output", (second.pins["ZN"],))}
    assert block.clock is None
    assert block.area(library) == pytest.approx(2 * 0.532)


def test_block_of_one_module(library):
    netlist = two_rows()
    block = make_block(netlist, library, r"ro\w")
    assert block.top == "row" and [cell.name for cell in block.cells] == ["invert"]
    assert module_path(netlist, "row") == ("row_0",)
    assert module_path(netlist, "top") == ()


def test_unknown_module_is_named(library):
    with pytest.raises(SynthesisError, match="top has no module like decoder.*: its modules are top, row"):
        make_block(two_rows(), library, "decoder.*")


def test_equal_flat_names_are_refused(library):
    cells = [Instance(name, "INV_X1", {"A": [1]}) for name in ("row__inverter",)]
    row = Module("row", {"x": Port("input", [1])}, [Instance("inverter", "INV_X1", {"A": [1]})])
    top = Module("top", {"a": Port("input", [1])}, [*cells, Instance("row", "row", {"x": [1]})])
    with pytest.raises(SynthesisError, match="two instances of top have the flat name row__inverter"):
        make_block(Netlist("top", {"top": top, "row": row}), library)


def test_flat_verilog(block, tmp_path):
    write_flat_verilog(block, tmp_path / "flat.v")
    assert (tmp_path / "flat.v").read_text(encoding="utf-8") == (
        "module top (clk, a, b, q);\n"
        "  input clk;\n  input a;\n  input b;\n  output q;\n"
        "  wire n4;\n"
        "  AND2_X1 and2_x1_0 (.A1(a), .A2(b), .ZN(n4));\n"
        "  DFF_X1 dff_x1_1 (.CK(clk), .D(n4), .Q(q));\n"
        "endmodule\n"
    )


def test_saif_of_a_module_has_the_activity_of_its_first_copy(library, tmp_path):
    core = two_rows()
    flat = flatten(core, library)
    (a, middle, z) = (flat.ports["a"][1][0], 2, flat.ports["z"][1][0])
    assert {int(a), middle, int(z)} == {0, 1, 2}
    toggles, high = np.zeros(3), np.zeros(3)
    toggles[[a, middle, z]], high[[a, middle, z]] = (0.5, 1.0, 2.0), (0.25, 0.5, 1.0)
    row = make_block(core, library, "row")
    nets = nets_in_core(row, core, library)
    write_block_saif(row, nets, Activity(toggles, high, 100), 2.5, tmp_path / "row.saif")
    x, y = "(T0 187500) (T1 62500) (TX 0) (TC 50) (IG 0))", "(T0 125000) (T1 125000) (TX 0) (TC 100) (IG 0))"
    assert (tmp_path / "row.saif").read_text(encoding="utf-8").partition("(DURATION")[2] == (
        f" 250000)\n(INSTANCE row\n(NET\n(x {x}\n(y {y}\n)\n(INSTANCE invert\n(NET\n(A {x}\n(ZN {y}\n))\n))\n"
    )


def test_saif_of_another_core_is_refused(library, block):
    with pytest.raises(SynthesisError, match="top is not a module of top: its cells differ"):
        nets_in_core(block, two_rows(), library)


# script and dry check


def test_prepared_script_passes_its_check(prepared):
    assert prepared.commands > 90
    assert prepared.script == (prepared.work / "layout.tcl").read_text(encoding="utf-8")
    for step in ("floorplan", "power grid", "placement", "clock tree", "timing repair", "routing", "extraction"):
        assert f"puts {{FINEQ: {step}}}" in prepared.script


def test_block_without_registers_has_no_clock_tree(library, technology, tmp_path):
    prepared = prepare("two", "two", make_block(two_rows(), library), technology, LayoutOptions(), tmp_path)
    assert "clock_tree_synthesis" not in prepared.script
    assert "get_ports clk" not in (tmp_path / "constraints.sdc").read_text(encoding="utf-8")


def test_activity_is_read_only_if_there_is_one(block, technology, tmp_path):
    work = tmp_path / "work"
    with pytest.raises(SynthesisError, match="read_saif: there is no file activity.saif"):
        prepare("and", "and", block, technology, LayoutOptions(), work, "somewhere")
    (work / "activity.saif").write_text("", encoding="utf-8")
    assert "read_saif -scope top" in prepare("and", "and", block, technology, LayoutOptions(), work, "x").script


def test_many_pins_lower_the_utilisation(library, technology, tmp_path):
    inputs = [f"i{n}" for n in range(40)]
    netlist = netlist_of(inputs, ["z"], [("INV_X1", {"A": name}) for name in inputs])
    prepared = prepare("pins", "pins", make_block(netlist, library), technology, LayoutOptions(), tmp_path)
    # 41 pins on every second track of four layers: the side is 41 / (1/0.14 + 1/0.28 + 1/0.19 + 1/0.28) um
    side = 41 / (1 / 0.14 + 2 / 0.28 + 1 / 0.19)
    assert prepared.options.utilisation == min(70, int(100 * 40 * 0.532 / side**2))
    dense = netlist_of([*inputs, *(f"j{n}" for n in range(400))], ["z"], [("INV_X1", {"A": "i0"})])
    assert prepare("d", "d", make_block(dense, library), technology, LayoutOptions(), tmp_path).options.utilisation < 5


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("detailed_rout", "line 2: unknown command 'detailed_rout'"),
        ("global_placement -densty 0.7", "line 2: global_placement has no option -densty"),
        ("global_placement -density", "line 2: -density of global_placement needs a value"),
        ("global_placement -density high", "line 2: -density of global_placement is 'high', not a number"),
        ("make_tracks metal1", "line 2: make_tracks takes 0 arguments, not 1"),
        ("add_pdn_stripe -grid g -layer metal11 -width 1", "the LEF has no routing layer 'metal11'"),
        ("set_routing_layers -signal metal2-via3", "the LEF has no routing layer 'via3'"),
        ("set_layer_rc -via metal1 -resistance 1", "the LEF has no cut layer 'metal1'"),
        ("initialize_floorplan -utilization 70 -site core", "the LEF has no site 'core'"),
        ("filler_placement {FILLCELL_X1 FILLCELL_X3}", "the LEF has no cell 'FILLCELL_X3'"),
        ("set_dont_use {FOO_*}", "the LEF has no cell 'FOO_*'"),
        ("repair_tie_fanout LOGIC0_X1/ZN -separation 2", "the LEF has no cell 'LOGIC0_X1' with a pin 'ZN'"),
        ("read_lef /nowhere/x.lef", "line 2: read_lef: there is no file x.lef"),
        ("write_def /elsewhere/x.def", "/elsewhere/x.def lies outside the directory of the run"),
        ("set_propagated_clock [get_clock clk]", "line 2: set_propagated_clock: unknown command 'get_clock'"),
        ("with_output_to_variable v {report_clock_latency -clock clk}", "report_clock_latency has no option -clock"),
        ("set_dont_use {A", "line 2: '{A' lacks a closing '}'"),
        ("puts {a}b", "line 2: 'b' follows a closing '}'"),
        ("puts a}", "line 2: '}' closes nothing"),
    ],
)
def test_mistakes_in_a_script_are_found(line, text, technology, tmp_path):
    with pytest.raises(SynthesisError) as error:
        check_script(f"# comment {{\n{line}\nexit\n", technology.lef, tmp_path)
    assert text in str(error.value)


def test_words_of_tcl():
    text = 'a {b c} [d {e}] "f g" h\\ i; j # k\n# l {\nm {n\no}\np'
    assert list(split_commands(text)) == [
        (1, ["a", "{b c}", "[d {e}]", '"f g"', "h\\ i"]),
        (1, ["j", "#", "k"]),
        (3, ["m", "{n\no}"]),
        (5, ["p"]),
    ]


def test_a_tcl_interpreter_reads_the_same_words(prepared):
    tkinter = pytest.importorskip("tkinter", reason="needs Python's Tcl")
    tcl = tkinter.Tcl()
    assert tcl.getboolean(tcl.call("info", "complete", prepared.script))
    names = {words[0] for _, words in split_commands(prepared.script)}
    seen = []
    for name in {*names, "get_clocks", "get_ports"}:
        if name not in ("expr", "regexp"):
            tcl.createcommand(name, lambda *words, name=name: seen.append((name, len(words))) or "1.0")
    tcl.createcommand("with_output_to_variable", lambda variable, _: tcl.setvar(variable, "0.1  0.2 latency") or "")
    tcl.eval(prepared.script)
    counts = [(words[0], len(words) - 1) for _, words in split_commands(prepared.script)]
    ours = [count for count in counts if count[0] not in ("regexp", "with_output_to_variable")]
    assert [count for count in seen if count[0] not in ("get_clocks", "get_ports")] == ours


def test_utilisation_is_limited():
    assert with_utilisation(LayoutOptions(), 80).utilisation == 80
    with pytest.raises(SynthesisError, match="the utilisation is 99 %: choose between 10 and 95"):
        with_utilisation(LayoutOptions(), 99)


def test_targets_name_existing_cores():
    for name in TARGETS:
        assert find_target(name).design().top == find_target(name).core
    with pytest.raises(SynthesisError, match="unknown layout 'row': choose one of row-64, row-64-latch"):
        find_target("row")


# DEF, GDS, results of a layout by hand

DEF = """VERSION 5.8 ;
DESIGN top ;
UNITS DISTANCE MICRONS 2000 ;
DIEAREA ( 0 0 ) ( 20000 10000 ) ;
ROW ROW_0 FreePDK45_38x28_10R_NP_162NW_34O 2000 2800 N DO 20 BY 1 STEP 380 0 ;
ROW ROW_1 FreePDK45_38x28_10R_NP_162NW_34O 2000 5600 FS DO 20 BY 1 STEP 380 0 ;
VIAS 1 ;
    - pdn_via + VIARULE Via1Array-0 + CUTSIZE 140 140  + LAYERS metal1 via1 metal2  + CUTSPACING 160 160
      + ENCLOSURE 70 60 70 50  + ROWCOL 1 2  ;
END VIAS
COMPONENTS 4 ;
    - and2_x1_0 AND2_X1 + PLACED ( 2000 2800 ) N ;
    - dff_x1_1 DFF_X1 + PLACED ( 2000 5600 ) FS ;
    - clkbuf_0_clk BUF_X4 + SOURCE TIMING + PLACED ( 8000 2800 ) S ;
    - FILLER_0_1 FILLCELL_X4 + SOURCE DIST + PLACED ( 8400 5600 ) FN ;
END COMPONENTS
PINS 2 ;
    - a + NET a + DIRECTION INPUT + USE SIGNAL
      + PORT
        + LAYER metal3 ( -70 -70 ) ( 70 70 )
        + PLACED ( 70 3000 ) N ;
    - VDD + NET VDD + SPECIAL + DIRECTION INOUT + USE POWER
      + PORT
        + LAYER metal7 ( -70 -70 ) ( 70 70 )
        + FIXED ( 70 5000 ) N ;
END PINS
SPECIALNETS 1 ;
    - VDD ( * VDD ) + USE POWER
      + ROUTED metal1 340 + SHAPE FOLLOWPIN ( 2000 2800 ) ( 9600 2800 )
      NEW metal1 0 + SHAPE STRIPE ( 4000 2800 ) pdn_via ;
END SPECIALNETS
NETS 2 ;
    - a ( PIN a ) ( and2_x1_0 A1 ) + USE SIGNAL
      + ROUTED metal3 ( 70 3000 ) ( 4070 * )
      NEW metal2 ( 4070 3000 ) ( * 3600 0 ) via1_4
      NEW metal2 ( 4070 3000 ) RECT ( -70 -100 70 100 ) ;
    - clk ( PIN clk ) ( dff_x1_1 CK ) + USE CLOCK
      + ROUTED metal4 TAPER ( 6000 3000 ) ( * 7000 ) ;
END NETS
END DESIGN
"""

OUTPUT = """OpenROAD
FINEQ: routing
Total wire length on LAYER metal2 = 9 um.
Total wire length on LAYER metal2 = 0 um.
Total wire length on LAYER metal3 = 2 um.
Total wire length on LAYER metal4 = 2 um.
FINEQ: worst slack
worst slack max 1.2345
worst slack min -0.0100
FINEQ: setup path
   0.10    0.10 ^ a (in)
   0.05    0.15 ^ and2_x1_0/ZN (AND2_X1)
           1.2345   slack (MET)
   0.05    0.15 ^ and2_x1_0/ZN (AND2_X1)
           1.5000   slack (MET)
FINEQ: clock skew
Clock clk
-------------------------------------------
  -0.0123 setup skew
FINEQ: clock latency
Clock clk
rise -> rise
 0.1000  0.2000 latency
         0.1000 skew
FINEQ: electrical violations
pin/A  0.20  0.30  -0.10 (VIOLATED)
FINEQ: activity
saif           9
unannotated    3
FINEQ: power
Group                  Internal  Switching    Leakage      Total
                          Power      Power      Power      Power (Watts)
----------------------------------------------------------------
Sequential           1.000000e-05 2.000000e-06 3.000000e-07 1.230000e-05  60.0%
Clock                4.000000e-06 3.000000e-06 2.000000e-07 7.200000e-06  40.0%
Macro                0.000000e+00 0.000000e+00 0.000000e+00 0.000000e+00   0.0%
----------------------------------------------------------------
Total                1.400000e-05 5.000000e-06 5.000000e-07 1.950000e-05 100.0%
FINEQ: end
"""


@pytest.fixture
def layout(technology, tmp_path):
    (tmp_path / "routed.def").write_text(DEF, encoding="utf-8")
    return read_def(tmp_path / "routed.def", technology.lef)


def test_def(layout):
    assert layout.die == (0, 0, 10, 5)
    assert layout.core == pytest.approx((1, 1.4, 4.8, 4.2))
    assert [(c.name, c.kind, c.x, c.y, c.orientation) for c in layout.components[:2]] == [
        ("and2_x1_0", "AND2_X1", 1.0, 1.4, "N"),
        ("dff_x1_1", "DFF_X1", 1.0, 2.8, "FS"),
    ]
    assert [(pin.name, pin.layer, pin.x, pin.y) for pin in layout.pins] == [("a", "metal3", 0.035, 1.5)]
    assert layout.wire_length() == pytest.approx({"metal2": 0.3, "metal3": 2.0, "metal4": 2.0})
    assert layout.vias == [("pdn_via", 2.0, 1.4, "power"), ("via1_4", 2.035, 1.8, "signal")]


def test_def_wires_have_their_outline(layout):
    areas = {(wire.layer, wire.use): wire.area for wire in layout.wires if wire.length}
    assert areas["metal3", "signal"] == pytest.approx((0.0, 1.465, 2.07, 1.535))  # half a width beyond its ends
    assert areas["metal1", "power"] == pytest.approx((1.0, 1.315, 4.8, 1.485))  # none for the power grid
    patch = next(wire for wire in layout.wires if not wire.length)
    assert patch.layer == "metal2" and patch.area == pytest.approx((2.0, 1.45, 2.07, 1.55))


def test_def_generated_via(layout):
    shapes = layout.via_shapes["pdn_via"]
    cuts = [area for layer, area in shapes if layer == "via1"]
    assert cuts == [pytest.approx((-0.11, -0.035, -0.04, 0.035)), pytest.approx((0.04, -0.035, 0.11, 0.035))]
    assert dict(shapes)["metal1"] == pytest.approx((-0.145, -0.065, 0.145, 0.065))


def test_unfinished_def_is_refused(technology, tmp_path):
    path = tmp_path / "half.def"
    path.write_text(DEF[:900], encoding="utf-8")
    with pytest.raises(SynthesisError, match="half.def is not a complete DEF file: the layout run did not finish"):
        read_def(path, technology.lef)
    path.write_text(DEF.replace("+ PLACED ( 2000 2800 ) N", ""), encoding="utf-8")
    with pytest.raises(SynthesisError, match="and2_x1_0 is not placed"):
        read_def(path, technology.lef)


def gds_elements(path):
    """(kind, layer, name, mirrored, angle, points) of every element of the last structure."""
    names = {gds._BOUNDARY: "boundary", gds._SREF: "cell", gds._TEXT: "text"}
    elements, structures, now = [], [], None
    for _, kind, data in gds.read_records(path.read_bytes()):
        if kind == gds._STRNAME:
            structures.append(data.rstrip(b"\0").decode())
            elements = []
        elif kind in names:
            now = {"kind": names[kind]}
        elif kind == gds._ENDEL:
            elements.append(now)
        elif kind == gds._LAYER:
            now["layer"] = struct.unpack(">h", data)[0]
        elif kind in (gds._SNAME, gds._STRING):
            now["name"] = data.rstrip(b"\0").decode()
        elif kind == gds._STRANS:
            now["mirrored"] = data[0] == 0x80
        elif kind == gds._ANGLE:
            now["angle"] = {gds._real(0): 0, gds._real(180): 180}[data]
        elif kind == gds._XY and now:
            now["points"] = struct.unpack(f">{len(data) // 4}i", data)
    return structures, elements


def test_gds(layout, technology, tmp_path):
    path = tmp_path / "top.gds"
    gds.write_gds(layout, technology.lef, technology.cell_gds, "top", path)
    structures, elements = gds_elements(path)
    assert structures == ["AND2_X1", "BUF_X4", "DFF_X1", "FILLCELL_X4", "top"]
    cells = {e["name"]: e for e in elements if e["kind"] == "cell"}
    assert cells["AND2_X1"]["points"] == (10000, 14000) and "angle" not in cells["AND2_X1"]
    # mirrored about x: the origin is the upper left corner, one row height of 1.4 um above 2.8 um
    assert cells["DFF_X1"]["points"] == (10000, 42000) and cells["DFF_X1"]["mirrored"]
    buffer = technology.lef.macros["BUF_X4"]
    assert cells["BUF_X4"]["points"] == (40000 + round(1e4 * buffer.width), 28000)
    assert cells["BUF_X4"]["angle"] == 180 and not cells["BUF_X4"]["mirrored"]
    filler = technology.lef.macros["FILLCELL_X4"]
    assert cells["FILLCELL_X4"]["points"] == (42000 + round(1e4 * filler.width), 28000)
    wires = [e for e in elements if e["kind"] == "boundary"]
    assert (0, 14650, 20700, 14650, 20700, 15350, 0, 15350, 0, 14650) in [
        e["points"] for e in wires if e["layer"] == 15
    ]
    assert sum(e["layer"] == 12 for e in wires) == 3  # two cuts of the power via, one of the signal via
    assert [(e["name"], e["layer"], e["points"]) for e in elements if e["kind"] == "text"] == [("a", 15, (350, 15000))]
    again = tmp_path / "again.gds"
    gds.write_gds(layout, technology.lef, technology.cell_gds, "top", again)
    assert again.read_bytes() == path.read_bytes()


def test_gds_real_numbers():
    assert gds._real(1.0) == bytes([0x41, 0x10, 0, 0, 0, 0, 0, 0])
    assert gds._real(180.0) == bytes([0x42, 0xB4, 0, 0, 0, 0, 0, 0])


def test_gds_of_another_library_is_refused(layout, technology, tmp_path):
    data = technology.cell_gds.read_bytes()
    other = tmp_path / "other.gds"
    other.write_bytes(data.replace(b"DFF_X1\0\0", b"DFF_Y1\0\0").replace(b"DFF_X1", b"DFF_Y1"))
    with pytest.raises(SynthesisError, match="other.gds has no structure DFF_X1: it does not belong to this library"):
        gds.write_gds(layout, technology.lef, other, "top", tmp_path / "x.gds")
    assert not (tmp_path / "x.gds").exists()


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


def test_categories(library):
    def kind(name, cell):
        return category(name, cell, {"x"}, library)

    assert kind("x", "FA_X1") == "full and half adders"
    assert kind("x", "DLH_X1") == kind("x", "CLKGATE_X1") == kind("x", "DFFR_X1") == "registers and clock gates"
    assert kind("x", "LOGIC0_X1") == kind("new", "LOGIC1_X1") == "tie cells"
    assert kind("clkbuf_leaf_0_clk", "BUF_X4") == "clock tree"
    assert kind("hold12", "BUF_X1") == "added buffers"


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


def test_a_path_goes_on_behind_a_via_on_the_other_layer(technology, tmp_path):
    """Also: a third number of a point is how far the wire goes on behind it, half its width where there is none."""
    path = "ROUTED metal3 ( 70 3000 0 ) ( 4070 * ) via2_5 ( * 9000 ) via1_4"
    text = DEF.replace(
        """ROUTED metal3 ( 70 3000 ) ( 4070 * )
      NEW metal2 ( 4070 3000 ) ( * 3600 0 ) via1_4
      NEW metal2 ( 4070 3000 ) RECT ( -70 -100 70 100 )""",
        path,
    )
    assert path in text
    (tmp_path / "routed.def").write_text(text, encoding="utf-8")
    layout = read_def(tmp_path / "routed.def", technology.lef)
    assert layout.wire_length() == pytest.approx({"metal2": 3.0, "metal3": 2.0, "metal4": 2.0})
    areas = {wire.layer: wire.area for wire in layout.wires if wire.use == "signal"}
    assert areas["metal3"] == pytest.approx((0.035, 1.465, 2.07, 1.535))
    assert areas["metal2"] == pytest.approx((2.0, 1.465, 2.07, 4.535))


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


# the tool, played by a script


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
        lay_out(prepared, technology, library, find_openroad(), tmp_path / directory, written.append)
    assert f"wrote {tmp_path / 'one' / 'layout-and.md'}" in written
    steps = [line for line in written if re.fullmatch(r" +0 s  worst slack", line)]
    kept = [line for line in written if line == "and: nothing has changed since the last run, its routing is kept"]
    assert (len(steps), len(kept)) == (1, 1), "the second run takes what the first has routed"
    (prepared.work / "constraints.sdc").write_text("# another clock\n", encoding="utf-8")
    lay_out(prepared, technology, library, find_openroad(), tmp_path / "three", written.append)
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
    layout = read_def(prepared.work / "routed.def", technology.lef)
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
    command = [sys.executable, str(REPOSITORY / "scripts" / "pnr.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def test_command_line_without_openroad(tmp_path):
    result = run_script("--output", str(tmp_path / "out"), OPENROAD_EXE=str(tmp_path / "none"))
    assert result.returncode == 1 and not (tmp_path / "out").exists()
    assert result.stderr.startswith("error: OpenROAD is missing (OPENROAD_EXE=")
    assert result.stderr.count("\n") == 1


def test_command_line_dry_run(tmp_path):
    result = run_script("--dry-run", "--design", "row-7", "--output", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "row-7: " in result.stdout and "commands checked" in result.stdout
    script = (tmp_path / "row-7" / "layout.tcl").read_text(encoding="utf-8")
    assert "clock_tree_synthesis" in script and "read_saif" not in script


def test_unknown_layout_is_refused(tmp_path):
    result = run_script("--dry-run", "--design", "row", "--output", str(tmp_path))
    assert result.returncode == 1 and result.stderr.startswith("error: unknown layout 'row': choose one of row-64")


def test_block_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Block("top", {}, (), None).top = "other"
