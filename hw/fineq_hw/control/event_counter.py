"""A performance counter, wide but quick."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Shape, Signal
from amaranth.lib.wiring import In, Out

from fineq_hw.interface.registers import WORD_BITS
from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import PART


class EventCounter(VerilogComponent):
    """Counter of two halves. The carry between them takes a cycle, which keeps the adders short.

    Ports:
        event: by how much to count in this cycle.
        clear: start again from zero.
        low, high: halves of the count; `high` belongs to the `low` of the cycle before, also when it is cleared.
    """

    KIND = "event_counter"
    ROLE = PART

    def __init__(self, event: Shape, half_bits: int = WORD_BITS) -> None:
        self.half_bits = half_bits
        self.event_bits = event.width
        super().__init__({"event": In(event), "clear": In(1), "low": Out(half_bits), "high": Out(half_bits)})

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (self.event_bits,)

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
