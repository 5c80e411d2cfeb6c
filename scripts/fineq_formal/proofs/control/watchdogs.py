"""Watchdog: the silent cycles, counted beside it over all 32 bits, which no simulation reaches."""

from __future__ import annotations

from amaranth.hdl import Signal

from fineq_formal.proof import Proof
from fineq_formal.setup import Setup
from fineq_hw.control.watchdog import Watchdog
from fineq_hw.interface.registers import WORD_BITS


def _silence(setup: Setup) -> None:
    """A limit that may change in any cycle; a count that has reached it waits."""
    dut = setup.add("dut", Watchdog())
    silent = Signal(WORD_BITS)  # cycles, one after another
    due = (dut.limit != 0) & (silent >= dut.limit)
    with setup.m.If((dut.limit != 0) & dut.waiting & ~dut.alive):
        setup.m.d.sync += silent.eq(silent + ~due)
    with setup.m.Else():
        setup.m.d.sync += silent.eq(0)
    setup.check(dut.expired == due, "expired after `limit` silent cycles, and not before")


PROOFS = (
    Proof(
        "control/watchdog/silence",
        "The watchdog expires after exactly as many silent cycles as the limit says: all limits, changed at any time",
        _silence,
        short=True,
    ),
)
