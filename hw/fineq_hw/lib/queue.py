"""What the queues between two streams share."""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Shape, ShapeLike
from amaranth.lib import stream
from amaranth.lib.wiring import In, Member, Out

from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import PART


class Queue(VerilogComponent):
    """First in, first out; one entry in and one out per cycle. `input.ready` and `output.valid` come from registers.

    Ports:
        input, output: streams of `shape`.

    Args:
        shape: of the payload.
        depth: entries, at least `MINIMUM_DEPTH`.

    Raises:
        ValueError: `depth` is below that.
    """

    ROLE = PART
    MINIMUM_DEPTH: ClassVar[int]

    def __init__(self, shape: ShapeLike, depth: int, **ports: Member) -> None:
        if depth < self.MINIMUM_DEPTH:
            raise ValueError(f"depth is {depth}: a {type(self).__name__} needs at least {self.MINIMUM_DEPTH}")
        self.shape = shape
        self.depth = depth
        super().__init__({"input": In(stream.Signature(shape)), "output": Out(stream.Signature(shape)), **ports})

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (f"{Shape.cast(self.shape).width}x{self.depth}",)
