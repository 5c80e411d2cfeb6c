"""A queue between two streams for many entries: amaranth's buffered queue, which reads its memory synchronously."""

from __future__ import annotations

from amaranth.hdl import Module, Shape, ShapeLike
from amaranth.lib import stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import PART


class BlockFifo(VerilogComponent):
    """First in, first out; one entry in and one out per cycle. Its memory can be a block RAM or an SRAM macro.

    An entry accepted by an empty queue in cycle t is offered from cycle t + 2 on. `input.ready` and `output.valid`
    are decided by registers alone.

    Ports:
        input, output: streams of `shape`.

    Args:
        shape: of the payload.
        depth: entries, at least 2.

    Raises:
        ValueError: `depth` is below 2.
    """

    KIND = "block_fifo"
    ROLE = PART

    def __init__(self, shape: ShapeLike, depth: int) -> None:
        if depth < 2:
            raise ValueError(f"depth is {depth}: a queue with a synchronous memory holds at least two entries")
        self.shape = shape
        self.depth = depth
        super().__init__({"input": In(stream.Signature(shape)), "output": Out(stream.Signature(shape))})

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (f"{Shape.cast(self.shape).width}x{self.depth}",)

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
