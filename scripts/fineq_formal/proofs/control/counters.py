"""Event counters over all 64 bits, whose upper half no simulation reaches: by themselves, and as the bus reads them."""

from __future__ import annotations

from amaranth.hdl import Cat, Mux, Signal, unsigned

from fineq_formal.proof import Engine, Proof
from fineq_formal.setup import Setup, implies
from fineq_hw.config import ACCELERATORS
from fineq_hw.control.csr import ControlStatusRegisters
from fineq_hw.control.event_counter import EventCounter
from fineq_hw.control.register_words import NUMBER_BITS
from fineq_hw.interface.bus import Response
from fineq_hw.interface.registers import COUNTERS, WORD_BITS, WORD_BYTES, counter_offset
from fineq_hw.lib.hierarchy import place

_CONFIG = ACCELERATORS["accelerator_5x7"]


def _sum(setup: Setup) -> None:
    """Any events, cleared in any cycle."""
    dut = setup.add("dut", EventCounter(unsigned(4)))
    total, before = Signal(2 * WORD_BITS), Signal(2 * WORD_BITS)
    setup.m.d.sync += [total.eq(Mux(dut.clear, 0, total + dut.event)), before.eq(total)]
    setup.check(
        Cat(dut.low, dut.high) == Cat(total[:WORD_BITS], before[WORD_BITS:]),
        "`low` and `high` are the halves of the sum, `high` that of the cycle before",
    )


def _read(setup: Setup) -> None:
    """Reads of any words at any time, beside counters of the same kind; nothing is written, so none is cleared."""
    m = setup.m
    dut = setup.add("dut", ControlStatusRegisters(_CONFIG), driven=("s_axil_wvalid",))
    m.d.comb += dut.s_axil_wvalid.eq(0)  # for good, and not assumed: else counters and references would not be merged
    asked, answered, word = Signal(), Signal(), Signal(NUMBER_BITS)
    accepted = dut.s_axil_arvalid & dut.s_axil_arready
    m.d.sync += [asked.eq(accepted), answered.eq(asked)]
    with m.If(accepted):
        m.d.sync += word.eq(dut.s_axil_araddr[-NUMBER_BITS:])

    expected, known, high = Signal(WORD_BITS), Signal(), Signal(WORD_BITS)
    with m.If(asked):
        m.d.sync += known.eq(0)
    own = {"cycles": dut.busy, "jobs": dut.job_done}
    for counter in COUNTERS:
        shape = unsigned(counter.event_bits(_CONFIG))
        event, reference = Signal(shape, name=f"event_{counter.name}"), EventCounter(shape)
        place(m, f"reference_{counter.name}", reference)
        m.d.sync += event.eq(own[counter.name] if counter.name in own else dut.events[counter.name])
        m.d.comb += reference.event.eq(event)
        number = counter_offset(counter.name) // WORD_BYTES
        with m.If(asked & (word == number)):
            m.d.sync += [expected.eq(reference.low), known.eq(1)]
        with m.If(asked & (word == number + 1)):
            m.d.sync += [expected.eq(high), known.eq(1)]
        with m.If(answered & (word == number)):
            m.d.sync += high.eq(reference.high)
    right = (dut.s_axil_rdata == expected) & (dut.s_axil_rresp == Response.OKAY)
    setup.check(
        implies(dut.s_axil_rvalid & known, right),
        "a low word is that of its counter, a high word belongs to the low word that was read before it",
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
    Proof(
        "control/csr/counters",
        "Both words of every counter of the 5x7 accelerator are read as they were in one cycle, all 64 bits",
        _read,
    ),
)
