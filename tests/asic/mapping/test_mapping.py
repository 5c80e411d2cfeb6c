"""Mapping of a small design."""

import pytest
from helpers.netlists.mapped_rows import DESIGN, OPTIONS, map_text

from fineq_asic.errors import SynthesisError
from fineq_asic.library.pdk import find_pdk
from fineq_asic.mapping import yosys as mapping
from fineq_asic.mapping.yosys import map_design
from fineq_asic.netlist.fanout import insert_buffers
from fineq_asic.netlist.verilog import write_verilog
from fineq_asic.timing.opensta import (
    WIRE_LOAD,
)


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


def test_yosys_errors_are_passed_on(tmp_path, library):
    with pytest.raises(SynthesisError, match="Yosys failed: .*ERROR.*yosys.log"):
        map_text("module top(a; endmodule", "top", tmp_path / "bad", library)


def test_missing_pyosys(tmp_path, library, monkeypatch):
    program = 'import sys; sys.modules["pyosys"] = None; from pyosys import libyosys'
    run = mapping.subprocess.run
    monkeypatch.setattr(mapping.subprocess, "run", lambda command, **k: run([command[0], "-c", program], **k))
    with pytest.raises(SynthesisError, match="pyosys is missing: install it with pip install"):
        map_text(DESIGN, "top", tmp_path / "none", library)
