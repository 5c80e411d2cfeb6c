"""Queues: what went in comes out, once, in order; nothing is lost and nothing overflows."""

from __future__ import annotations

from amaranth.hdl import Const, Signal

from fineq_formal.proof import Proof
from fineq_formal.setup import Setup, implies
from fineq_hw.lib.block_fifo import BlockFifo
from fineq_hw.lib.stream_fifo import StreamFifo

_BITS = 3
"""Of an entry. A queue does nothing with its entries, so a few bits stand for any."""


def _queue(setup: Setup, queue: StreamFifo | BlockFifo) -> None:
    """Some entry, whichever, is marked as it goes in; so many entries later, it and no other must come out."""
    m = setup.m
    dut = setup.add("dut", queue)
    mark = setup.free("mark")
    put = dut.input.valid & dut.input.ready
    take = dut.output.valid & dut.output.ready
    held = Signal(range(queue.depth + 2))
    marked = Signal()
    entry = Signal(_BITS)
    ahead = Signal(range(queue.depth + 2))
    m.d.sync += held.eq(held + put - take)
    with m.If(put & mark & ~marked):
        m.d.sync += [marked.eq(1), entry.eq(dut.input.payload), ahead.eq(held - take)]
    with m.Elif(marked & take):
        m.d.sync += [ahead.eq(ahead - 1), marked.eq(ahead != 0)]
    setup.check(held <= queue.depth, "never more entries than there is room for")
    setup.check(implies(take, held != 0), "nothing comes out of an empty queue")
    setup.check(implies(marked & take & (ahead == 0), dut.output.payload == entry), "entries come out in order")
    if isinstance(queue, StreamFifo):
        setup.check(dut.level == held, "level is what is held")
        setup.check(dut.output.valid == (held != 0), "an entry is offered in the cycle after it went in")
        setup.check(dut.input.ready == (held != queue.depth), "there is room whenever it is not full")
    else:
        waiting = Signal(2)
        m.d.sync += waiting.eq(0)
        with m.If((held != 0) & ~dut.output.valid):
            m.d.sync += waiting.eq(waiting + 1)
        setup.check(waiting < Const(2), "an entry is offered at the latest two cycles after it went in")
        setup.check(dut.input.ready | (held != 0), "an empty queue takes entries")


PROOFS = (
    *(
        Proof(
            f"lib/stream_fifo/order-{depth}",
            f"A queue of {depth} gives its entries once and in order, is full and empty when it should be",
            lambda setup, depth=depth: _queue(setup, StreamFifo(_BITS, depth)),  # type: ignore[misc]
            short=depth == 3,
        )
        for depth in (1, 3, 8)
    ),
    *(
        Proof(
            f"lib/block_fifo/order-{depth}",
            f"A queue of {depth} with a synchronous memory gives its entries once and in order",
            lambda setup, depth=depth: _queue(setup, BlockFifo(_BITS, depth)),  # type: ignore[misc]
        )
        for depth in (2, 5)
    ),
)
