"""The blocks that are laid out: cores, or one module of a core."""

from __future__ import annotations

from dataclasses import dataclass

from fineq_asic.errors import SynthesisError
from fineq_asic.mapping.designs import CoreDesign, designs_of
from fineq_hw.array.processing_array import ArrayRow
from fineq_hw.decode.line_decoder import LineDecoder


@dataclass(frozen=True)
class Target:
    """One layout.

    Attributes:
        title: its name in reports.
        size, core: the core, as in `designs_of(size)`.
        part: kind of the module of the core that is laid out (`VerilogComponent.KIND`); None: all of it.
        published: part of `make pnr`; the others show what flip-flops cost, or are there to try the flow.
    """

    title: str
    size: str
    core: str
    part: str | None = None
    published: bool = True

    def design(self) -> CoreDesign:
        """The core.

        Raises:
            SynthesisError: the size has no such core.
        """
        designs = {design.top: design for design in designs_of(self.size)}
        if self.core not in designs:
            raise SynthesisError(f"{self.size} has no core {self.core}: it has {', '.join(designs)}")
        return designs[self.core]


_ROW = ArrayRow.KIND
_DECODER = LineDecoder.KIND

TARGETS: dict[str, Target] = {
    "row-64": Target("one row of 64 elements, flip-flops", "64x64", "fineq_64x64_packed", _ROW, published=False),
    "row-64-latch": Target("one row of 64 elements, latches", "64x64", "fineq_64x64_latch_packed", _ROW),
    "row-64-cluster": Target(
        "one row of 64 elements, encoding `cluster`, latches", "64x64", "fineq_64x64_cluster_packed", _ROW
    ),
    "decoder-64": Target("the 64 decoders of a line", "64x64", "fineq_64x64_packed", _DECODER),
    "array-16": Target("FineQ 16x16, flip-flops, with decoders", "16x16", "fineq_16x16_packed", published=False),
    "array-16-latch": Target("FineQ 16x16, latches, with decoders", "16x16", "fineq_16x16_latch_packed"),
    "array-16-cluster": Target(
        "FineQ 16x16, encoding `cluster`, latches, with decoders",
        "16x16",
        "fineq_16x16_cluster_packed",
        published=False,
    ),
    "mac8x3-16": Target(
        "MAC 8x3 16x16, broadcast weights, flip-flops", "16x16", "mac8x3_16x16_broadcast", published=False
    ),
    "mac8x3-16-latch": Target("MAC 8x3 16x16, broadcast weights, latches", "16x16", "mac8x3_16x16_broadcast_latch"),
    "row-7": Target("one row of 7 elements", "5x7", "fineq_5x7_packed", _ROW, published=False),
    "decoder-7": Target("the decoders of a line of 7", "5x7", "fineq_5x7_packed", _DECODER, published=False),
}
"""Layouts by name."""


def find_target(name: str) -> Target:
    """A layout by name.

    Raises:
        SynthesisError: there is none of that name.
    """
    if name not in TARGETS:
        raise SynthesisError(f"unknown layout {name!r}: choose one of {', '.join(TARGETS)}")
    return TARGETS[name]
