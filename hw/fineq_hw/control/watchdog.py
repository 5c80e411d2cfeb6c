"""Notices a memory that does not answer (docs/hardware/integration.md)."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out

from fineq_hw.interface.registers import WORD_BITS
from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import MachineBlock, Role, Synthesis


class Watchdog(VerilogComponent):
    """Counts cycles in which the memory is on turn and gives no sign of life, one after another.

    Ports:
        limit: so many cycles are too many; 0: any number is allowed. May change at any time.
        waiting: the memory is on turn.
        alive: it does something.
        expired: `limit` such cycles have gone by, the one before this the last of them; high until there is a sign of
            life or nothing is waited for.
    """

    KIND = "watchdog"
    ROLE = Role(MachineBlock.CONTROL, Synthesis.KEEP)

    def __init__(self) -> None:
        super().__init__({"limit": In(WORD_BITS), "waiting": In(1), "alive": In(1), "expired": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        count = Signal(WORD_BITS)
        m.d.comb += self.expired.eq((self.limit != 0) & (count >= self.limit))
        with m.If(~self.waiting | self.alive | (self.limit == 0)):
            m.d.sync += count.eq(0)
        with m.Elif(~self.expired):
            m.d.sync += count.eq(count + 1)
        return m
