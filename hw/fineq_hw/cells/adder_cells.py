"""Full and half adders, modules of their own so that synthesis can put the library's cells in their place."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class FullAdder(wiring.Component):
    """a + b + c = 2 carry + sum."""

    a: In(1)
    b: In(1)
    c: In(1)
    sum: Out(1)
    carry: Out(1)

    MODULE_NAME = "fineq_full_adder"

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.comb += [
            self.sum.eq(self.a ^ self.b ^ self.c),
            self.carry.eq((self.a & self.b) | (self.c & (self.a ^ self.b))),
        ]
        return m


class HalfAdder(wiring.Component):
    """a + b = 2 carry + sum."""

    a: In(1)
    b: In(1)
    sum: Out(1)
    carry: Out(1)

    MODULE_NAME = "fineq_half_adder"

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.comb += [self.sum.eq(self.a ^ self.b), self.carry.eq(self.a & self.b)]
        return m
