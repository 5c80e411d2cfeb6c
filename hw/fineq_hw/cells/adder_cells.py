"""Full and half adders, modules of their own so that synthesis can put the library's cells in their place."""

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out

from fineq_hw.lib.hierarchy import CombinationalComponent
from fineq_hw.lib.role import CELL


class FullAdder(CombinationalComponent):
    """a + b + c = 2 carry + sum."""

    KIND = "full_adder"
    ROLE = CELL

    a: In(1)
    b: In(1)
    c: In(1)
    sum: Out(1)
    carry: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.comb += [
            self.sum.eq(self.a ^ self.b ^ self.c),
            self.carry.eq((self.a & self.b) | (self.c & (self.a ^ self.b))),
        ]
        return m


class HalfAdder(CombinationalComponent):
    """a + b = 2 carry + sum."""

    KIND = "half_adder"
    ROLE = CELL

    a: In(1)
    b: In(1)
    sum: Out(1)
    carry: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.comb += [self.sum.eq(self.a ^ self.b), self.carry.eq(self.a & self.b)]
        return m
