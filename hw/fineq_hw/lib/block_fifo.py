"""A queue between two streams for many entries: amaranth's buffered queue, which reads its memory synchronously."""

from __future__ import annotations

from amaranth.hdl import Module, Shape
from amaranth.lib.fifo import SyncFIFOBuffered

from fineq_hw.lib.queue import Queue


class BlockFifo(Queue):
    """A `Queue` whose memory can be a block RAM or an SRAM macro.

    An entry accepted by an empty queue in cycle t is offered from cycle t + 2 on.
    """

    KIND = "block_fifo"
    MINIMUM_DEPTH = 2

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.queue = queue = SyncFIFOBuffered(width=Shape.cast(self.shape).width, depth=self.depth)
        m.d.comb += [
            queue.w_data.eq(self.input.payload),
            queue.w_en.eq(self.input.valid),
            self.input.ready.eq(queue.w_rdy),
            self.output.payload.eq(queue.r_data),
            self.output.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.output.ready),
        ]
        return m
