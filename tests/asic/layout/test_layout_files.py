"""What a layout leaves: DEF and GDS."""

import struct

import pytest
from layout_samples import DEF

from fineq_asic.errors import SynthesisError
from fineq_asic.layout import gds
from fineq_asic.layout.def_file import read_def


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
