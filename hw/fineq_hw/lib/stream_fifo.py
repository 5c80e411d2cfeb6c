"""A queue between two streams, for a few entries."""

from __future__ import annotations

from amaranth.hdl import Module, Shape, ShapeLike, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from fineq_hw.lib.queue import Queue


class StreamFifo(Queue):
    """A `Queue` that offers an entry accepted in cycle t from cycle t + 1 on.

    A full queue takes nothing in the cycle in which it gives an entry away.

    Other ports: `level`, entries held; `clear`, with `outlives_reset` alone, empties the queue.

    Args:
        shape, depth: see `Queue`.
        outlives_reset: the reset leaves the entries alone.
    """

    KIND = "fifo"
    MINIMUM_DEPTH = 1

    def __init__(self, shape: ShapeLike, depth: int, *, outlives_reset: bool = False) -> None:
        self.outlives_reset = outlives_reset
        clear = {"clear": In(1)} if outlives_reset else {}
        super().__init__(shape, depth, level=Out(range(depth + 1)), **clear)

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (*super().module_parameters, *(["kept"] if self.outlives_reset else []))

    def elaborate(self, platform) -> Module:
        m = Module()
        bits = Shape.cast(self.shape).width
        m.submodules.entries = entries = Memory(shape=bits, depth=self.depth, init=[])
        write, read = entries.write_port(), entries.read_port(domain="comb")
        level = Signal(range(self.depth + 1), reset_less=self.outlives_reset)
        head = Signal(range(self.depth), reset_less=self.outlives_reset)
        tail = Signal(range(self.depth), reset_less=self.outlives_reset)

        def advance(position: Signal) -> None:
            with m.If(position == self.depth - 1):
                m.d.sync += position.eq(0)
            with m.Else():
                m.d.sync += position.eq(position + 1)

        put = self.input.valid & self.input.ready
        take = self.output.valid & self.output.ready
        m.d.comb += [
            self.level.eq(level),
            self.input.ready.eq(level != self.depth),
            self.output.valid.eq(level != 0),
            self.output.payload.eq(read.data),
            read.addr.eq(head),
            write.addr.eq(tail),
            write.data.eq(self.input.payload),
            write.en.eq(put),
        ]
        with m.If(put):
            advance(tail)
        with m.If(take):
            advance(head)
        m.d.sync += level.eq(level + put - take)
        if self.outlives_reset:
            with m.If(self.clear):
                m.d.sync += [level.eq(0), head.eq(0), tail.eq(0)]
        return m
