"""Event counters: both halves against one sum of 64 bits, whose upper half no simulation reaches."""

from __future__ import annotations

from amaranth.hdl import Cat, Mux, Signal, unsigned

from fineq_formal.proof import Engine, Proof
from fineq_formal.setup import Setup
from fineq_hw.control.event_counter import EventCounter
from fineq_hw.interface.registers import WORD_BITS


def _sum(setup: Setup) -> None:
    """Any events, cleared in any cycle."""
    dut = setup.add("dut", EventCounter(unsigned(4)))
    total, before = Signal(2 * WORD_BITS), Signal(2 * WORD_BITS)
    setup.m.d.sync += [total.eq(Mux(dut.clear, 0, total + dut.event)), before.eq(total)]
    setup.check(
        Cat(dut.low, dut.high) == Cat(total[:WORD_BITS], before[WORD_BITS:]),
        "`low` and `high` are the halves of the sum, `high` that of the cycle before",
    )


PROOFS = (
    Proof(
        "control/event_counter/sum",
        "A counter gives the sum of its events since it was cleared: all events, over all 64 bits",
        _sum,
        # Two steps: what is carried between the halves shows in the next `high`.
        Engine("induction", 3),
        short=True,
    ),
)
