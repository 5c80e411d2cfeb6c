"""Kept netlists: taken again as long as nothing that decides them has changed."""

from dataclasses import dataclass

from fineq.common import cache_keys
from fineq_asic.mapping import closure
from fineq_asic.mapping.designs import designs_of
from fineq_asic.timing.opensta import Constraints

READER = "fineq_asic.netlist.yosys_reader"


@dataclass
class Made:
    """Stands for a mapped design."""

    number: int
    netlist: None = None


def test_a_change_in_the_reader_of_netlists_gives_a_fresh_netlist(tmp_path, monkeypatch):
    """It decides which inverters are absorbed, and was once forgotten in a list kept by hand."""
    made = []

    def close(*_):
        made.append(None)
        return Made(len(made))

    monkeypatch.setattr(closure, "_close_timing", close)
    monkeypatch.setattr(closure, "write_verilog", lambda *_: None)
    design, tools = designs_of("5x7")[-1], closure.find_tools()

    def get() -> int:
        work, cache = tmp_path / "work", tmp_path / "cache"
        return closure.map_and_close(design, tools, Constraints(), work, lambda line: None, cache).number

    assert (get(), get()) == (1, 1)
    changed = tmp_path / "yosys_reader.py"
    find = cache_keys._find
    changed.write_bytes(find(READER).read_bytes() + b"# changed\n")
    monkeypatch.setattr(cache_keys, "_find", lambda name: changed if name == READER else find(name))
    assert (get(), get()) == (2, 2)
