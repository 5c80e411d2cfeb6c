"""Verilog without initial values: registers and memories have none, tables keep theirs, the rest is the same."""

import difflib
import re

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from fineq_hw.export.conversion import convert


class Started(wiring.Component):
    """A register with an initial value, one that reset does not reach, a memory, a table."""

    def __init__(self):
        outputs = {name: Out(8) for name in ("sum", "kept", "read", "fixed")}
        super().__init__({"data": In(8), "address": In(2), **outputs})

    def elaborate(self, platform):
        m = Module()
        total, kept = Signal(8, init=5), Signal(8, init=7, reset_less=True)
        m.submodules.memory = memory = Memory(shape=8, depth=4, init=[1, 2, 3, 4])
        m.submodules.table = table = Memory(shape=8, depth=4, init=[9, 8, 7, 6])
        write, read, fixed = memory.write_port(), memory.read_port(), table.read_port()
        m.d.sync += [total.eq(total + self.data), kept.eq(self.data)]
        m.d.comb += [self.sum.eq(total), self.kept.eq(kept), self.read.eq(read.data), self.fixed.eq(fixed.data)]
        m.d.comb += [write.addr.eq(self.address), write.data.eq(self.data), write.en.eq(1), read.en.eq(1)]
        m.d.comb += [read.addr.eq(self.address), fixed.addr.eq(self.address), fixed.en.eq(1)]
        return m


def lines(**options) -> list[str]:
    """With one name for all nets that have none of their own: they are counted through."""
    return re.sub(r"\b_\d+_\b", "_", convert({"top": Started()}, **options).texts["top"]).splitlines()


def test_only_initial_values_are_left_out():
    whole, without = lines(), lines(initial_values=False)
    changes = list(difflib.unified_diff(whole, without, n=0, lineterm=""))[2:]
    removed = [line[1:].strip() for line in changes if line.startswith("-")]
    added = [line[1:].strip() for line in changes if line.startswith("+")]
    registers = [line for line in removed if line.startswith("reg ")]
    stripped = [line.partition(" =")[0] + ";" for line in registers if "=" in line]
    assert stripped == added, "more than initial values"
    assert {"reg [7:0] sum = 8'h05;", "reg [7:0] kept = 8'h07;"} <= set(registers)
    memory = [line for line in removed if line not in registers]
    assert memory == ["initial begin", *(f"memory[{n}] = 8'h0{n + 1};" for n in range(4)), "end"]
    text = "\n".join(without)
    assert "table[0] = 8'h09;" in text.replace("\\table ", "table"), "a table is no memory that was powered up"
    assert "8'h05" in text, "the reset value stays"


def test_as_shipped_is_the_default():
    assert lines() == lines(initial_values=True)
