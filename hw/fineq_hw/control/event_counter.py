"""A performance counter, wide but quick."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fineq_hw.interface.registers import WORD_BITS


class EventCounter(wiring.Component):
    """Counter of two halves. The carry between them takes a cycle, which keeps the adders short.

    Ports:
        event: by how much to count in this cycle.
        clear: start again from zero.
        low, high: halves of the count; `high` belongs to the `low` of the cycle before, also when it is cleared.
    """

    def __init__(self, event: Shape, half_bits: int = WORD_BITS) -> None:
        self.half_bits = half_bits
        super().__init__({"event": In(event), "clear": In(1), "low": Out(half_bits), "high": Out(half_bits)})

    @staticmethod
    def module_name(event: Shape) -> str:
        return f"fineq_event_counter_{event.width}"

    def elaborate(self, platform) -> Module:
        m = Module()
        carry, cleared = Signal(), Signal()
        m.d.sync += [
            Cat(self.low, carry).eq(self.low + self.event),
            self.high.eq(self.high + carry),
            cleared.eq(self.clear),
        ]
        with m.If(self.clear):
            m.d.sync += [self.low.eq(0), carry.eq(0)]
        with m.If(cleared):
            m.d.sync += self.high.eq(0)
        return m
