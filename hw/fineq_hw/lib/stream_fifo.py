"""A queue between two streams, for a few entries."""

from __future__ import annotations

from amaranth.hdl import Module, Shape, ShapeLike, Signal
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import PART


class StreamFifo(VerilogComponent):
    """First in, first out; one entry in and one out per cycle, also when full entries wait.

    An entry accepted in cycle t is offered from cycle t + 1 on. `input.ready` and `output.valid` are decided by
    registers alone, so no combinational path leads through. A full queue takes nothing in the cycle in which it
    gives an entry away.

    Ports:
        input, output: streams of `shape`.
        level: entries held.

    Args:
        shape: of the payload.
        depth: entries, at least 1.

    Raises:
        ValueError: `depth` is below 1.
    """

    KIND = "fifo"
    ROLE = PART

    def __init__(self, shape: ShapeLike, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"depth is {depth}: a queue holds at least one entry")
        self.shape = shape
        self.depth = depth
        super().__init__(
            {
                "input": In(stream.Signature(shape)),
                "output": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (f"{Shape.cast(self.shape).width}x{self.depth}",)

    def elaborate(self, platform) -> Module:
        m = Module()
        bits = Shape.cast(self.shape).width
        m.submodules.entries = entries = Memory(shape=bits, depth=self.depth, init=[])
        write, read = entries.write_port(), entries.read_port(domain="comb")
        level = Signal(range(self.depth + 1))
        head = Signal(range(self.depth))
        tail = Signal(range(self.depth))

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
        return m
