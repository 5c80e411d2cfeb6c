"""A queue between two streams for many entries, whose memory is read synchronously."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib.memory import Memory

from fineq_hw.lib.queue import Queue


class BlockFifo(Queue):
    """A `Queue` whose memory can be a block RAM or an SRAM macro.

    An entry accepted by an empty queue in cycle t is offered from cycle t + 2 on.
    """

    KIND = "block_fifo"
    MINIMUM_DEPTH = 2

    def elaborate(self, platform) -> Module:
        m = Module()
        entries = self.depth - 1  # the last one stands in the memory's output register
        m.submodules.entries = memory = Memory(shape=Shape.cast(self.shape).width, depth=entries, init=[])
        write, read = memory.write_port(), memory.read_port()
        level = Signal(range(entries + 1))
        head, tail = Signal(range(entries)), Signal(range(entries))
        valid, put, load = Signal(), Signal(), Signal()
        m.d.comb += [
            self.input.ready.eq(level != entries),
            put.eq(self.input.valid & self.input.ready),
            load.eq((level != 0) & (~valid | self.output.ready)),
            write.en.eq(put),
            write.addr.eq(tail),
            write.data.eq(self.input.payload),
            read.en.eq(load),
            read.addr.eq(head),
            self.output.payload.eq(read.data),
            self.output.valid.eq(valid),
        ]
        for position, step in ((tail, put), (head, load)):
            with m.If(step):
                m.d.sync += position.eq(Mux(position == entries - 1, 0, position + 1))
        m.d.sync += level.eq(level + put - load)
        with m.If(load):
            m.d.sync += valid.eq(1)
        with m.Elif(self.output.ready):
            m.d.sync += valid.eq(0)
        return m
