"""What a layout leaves: DEF read and GDS written, against shapes computed by hand."""

import klayout.db as kdb
import pytest
from helpers.netlists.layout_samples import DEF

from fineq_asic.errors import SynthesisError
from fineq_asic.layout.routed import read_routed
from fineq_asic.layout.technology import Technology
from fineq_asic.library.pdk import Pdk


def routed(text, technology, tmp_path):
    (tmp_path / "routed.def").write_text(text, encoding="utf-8")
    return read_routed(tmp_path / "routed.def", technology)


def test_def(layout, technology):
    assert layout.die == (0, 0, 10, 5)
    assert layout.core == pytest.approx((1, 1.4, 4.8, 4.2))
    cells = {cell.name: (cell.kind, cell.area) for cell in layout.cells}
    assert cells["and2_x1_0"] == ("AND2_X1", (1.0, 1.4, 1.76, 2.8))
    width, _ = technology.cell_sizes["DFF_X1"]
    assert cells["dff_x1_1"] == ("DFF_X1", pytest.approx((1.0, 2.8, 1.0 + width, 4.2)))
    assert len(cells) == 4
    assert [(pin.name, pin.layer, pin.x, pin.y) for pin in layout.pins] == [("a", "metal3", 0.035, 1.5)]
    assert layout.wire_length == pytest.approx({"metal2": 0.3, "metal3": 2.0, "metal4": 2.0})
    assert layout.signal_vias == 1, "the via of the power grid is not one of a signal"
    assert layout.nets["behind"] == (("u_7", "Z"), ("dff_x1_1", "CK"))
    assert list(layout.nets) == ["a", "clk", "behind"]


def test_def_wires_have_their_outline(layout):
    (signal,) = layout.signal_wires["metal3"]
    assert signal == pytest.approx((0.0, 1.465, 2.07, 1.535))  # half a width beyond its ends
    (rail,) = layout.supply_wires["metal1"]
    assert rail == pytest.approx((1.0, 1.315, 4.8, 1.485))  # none for the power grid
    assert (2.0, 1.45, 2.07, 1.55) in layout.signal_wires["metal2"]  # a patch
    assert set(layout.supply_wires) == {"metal1"}


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
    layout = routed(text, technology, tmp_path)
    assert layout.wire_length == pytest.approx({"metal2": 3.0, "metal3": 2.0, "metal4": 2.0})
    assert layout.signal_wires["metal3"] == [pytest.approx((0.035, 1.465, 2.07, 1.535))]
    assert layout.signal_wires["metal2"] == [pytest.approx((2.0, 1.465, 2.07, 4.535))]
    assert layout.signal_vias == 2


def test_unfinished_def_is_refused(technology, tmp_path):
    for text in (DEF[:900], DEF.replace("END DESIGN\n", ""), ""):
        with pytest.raises(SynthesisError, match="routed.def is not a complete DEF file: the layout run did not fin"):
            routed(text, technology, tmp_path)
    with pytest.raises(SynthesisError, match="routed.def: 1 of its cells are not placed: the layout run did not"):
        routed(DEF.replace("+ PLACED ( 2000 2800 ) N", ""), technology, tmp_path)


def drawn(layout, number):
    """All polygons of a GDS layer, cells included."""
    return kdb.Region(layout.top_cell().begin_shapes_rec(layout.layer(number, 0))).merged()


def boxes(*areas):
    """A region from corners in um."""
    return kdb.Region([kdb.DBox(*area).to_itype(1e-4) for area in areas]).merged()


def shapes_by_hand():
    """What the sample draws above its cells, by layer, in um."""
    die_cut, gap = 0.07, 0.08  # size and spacing of the two cuts of the power via at (2.0, 1.4)
    left, right = 2.0 - gap / 2 - die_cut, 2.0 + gap / 2
    return {
        "metal1": [
            (1.0, 1.4 - 0.085, 4.8, 1.4 + 0.085),  # rail of 340 units
            (2.0 - 0.145, 1.4 - 0.065, 2.0 + 0.145, 1.4 + 0.065),  # power via: cuts and 70, 60 units around them
            (2.035 - 0.035, 1.8 - 0.07, 2.035 + 0.035, 1.8 + 0.07),  # via1_4, long upwards in metal1
        ],
        "via1": [
            (left, 1.4 - 0.035, left + die_cut, 1.4 + 0.035),
            (right, 1.4 - 0.035, right + die_cut, 1.4 + 0.035),
            (2.035 - 0.035, 1.8 - 0.035, 2.035 + 0.035, 1.8 + 0.035),
        ],
        "metal2": [
            (2.0, 1.5 - 0.035, 2.07, 1.8),  # ends where its 0 says
            (2.0, 1.45, 2.07, 1.55),  # patch
            (2.0 - 0.145, 1.4 - 0.06, 2.0 + 0.145, 1.4 + 0.06),
            (2.035 - 0.035, 1.8 - 0.07, 2.035 + 0.035, 1.8 + 0.07),
        ],
        "metal3": [(0.0, 1.465, 2.07, 1.535)],
        "metal4": [(3.0 - 0.07, 1.5 - 0.07, 3.0 + 0.07, 3.5 + 0.07)],
    }


def test_gds_holds_the_shapes_computed_by_hand(layout, technology, tmp_path):
    path = tmp_path / "top.gds"
    layout.write_gds(path)
    found, library = kdb.Layout(), kdb.Layout()
    found.read(str(path))
    library.read(str(technology.cell_gds))
    assert found.dbu == 1e-4 and found.top_cell().name == "top"
    sizes = {kind: size[0] for kind, size in technology.cell_sizes.items()}
    placed = (  # mirrored about x, angle, where the origin of the cell lies
        ("AND2_X1", kdb.DTrans.R0, 1.0, 1.4),
        ("DFF_X1", kdb.DTrans.M0, 1.0, 2.8 + 1.4),
        ("BUF_X4", kdb.DTrans.R180, 4.0 + sizes["BUF_X4"], 1.4 + 1.4),
        ("FILLCELL_X4", kdb.DTrans.M90, 4.2 + sizes["FILLCELL_X4"], 2.8),
    )
    hand = {technology.gds_layers[name]: boxes(*areas) for name, areas in shapes_by_hand().items()}
    numbers = {info.layer for info in [*found.layer_infos(), *library.layer_infos()] if info.datatype == 0}
    for number in sorted(numbers):
        expected = hand.get(number, kdb.Region())
        for kind, orientation, x, y in placed:
            cell = kdb.Region(library.cell(kind).begin_shapes_rec(library.layer(number, 0)))
            expected += cell.transformed(kdb.DTrans(orientation, x, y).to_itype(1e-4))
        assert (drawn(found, number) ^ expected).is_empty(), number
    assert not drawn(found, technology.gds_layers["metal3"]).is_empty()
    labels = {
        (shape.text_string, info.layer, shape.dtext.x, shape.dtext.y)
        for info in found.layer_infos()
        for shape in found.top_cell().each_shape(found.layer(info))
        if shape.is_text()
    }
    assert labels == {("a", 15, 0.035, 1.5), ("VDD", 23, 0.035, 2.5)}


def test_the_same_layout_gives_the_same_bytes(layout, technology, tmp_path):
    layout.write_gds(tmp_path / "one.gds")
    routed(DEF, technology, tmp_path).write_gds(tmp_path / "two.gds")
    assert (tmp_path / "one.gds").read_bytes() == (tmp_path / "two.gds").read_bytes()


def test_reading_says_nothing_on_the_terminal(technology, tmp_path, capfd):
    routed(DEF, technology, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_gds_of_another_library_is_refused(technology, tmp_path):
    for path in (technology.technology_lef, technology.cell_lef):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = technology.cell_gds.read_bytes()
    other = tmp_path / "stdcells.gds"
    other.write_bytes(data.replace(b"DFF_X1\0\0", b"DFF_Y1\0\0").replace(b"DFF_X1", b"DFF_Y1"))
    with pytest.raises(SynthesisError, match="stdcells.gds has no structure DFF_X1: it does not belong to this lib"):
        routed(DEF, Technology(Pdk(tmp_path, "another library")), tmp_path)
