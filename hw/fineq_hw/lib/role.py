"""What a component is to synthesis and to the reports: declared by the component, read from the manifest by the flows.

A component that becomes a Verilog module has a `Role` (`fineq_hw.lib.hierarchy.VerilogComponent`). Nothing about it is
ever concluded from the name of the module.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CoreBlock(StrEnum):
    """Blocks that area and power of a core divide into, in the order of the tables."""

    DECODERS = "decoders"
    SLICE_MULTIPLEXER = "slice multiplexer"
    CONTROL = "control"
    TEMPORAL_ENCODERS = "temporal encoders"
    SIGN_CORRECTION = "sign correction"
    ACTIVATION_REGISTER = "activation register"
    SKEW_AND_ALIGNMENT = "skew and alignment"
    BROADCAST_BUFFERS = "broadcast buffers"
    PROCESSING_ELEMENTS = "processing elements"
    ACCUMULATORS = "accumulators"


class MachineBlock(StrEnum):
    """Parts of an accelerator around its core."""

    TOP_LEVEL = "top level"
    CONTROL = "control of the machine"
    MEMORY_ACCESS = "memory access"
    BUFFERS = "buffers"
    VECTOR_PROCESSING = "vector processing"


class Synthesis(StrEnum):
    """What synthesis does with a module that is not the top."""

    KEEP = "keep"
    """It stays a module in the netlist."""
    UNIT = "unit"
    """It is optimised once and then dissolved into what holds it."""
    DISSOLVE = "dissolve"
    """It is dissolved at once."""
    CELL = "cell"
    """It stands for one library cell, which takes its place."""


@dataclass(frozen=True)
class Role:
    """The declaration of a component.

    Attributes:
        block: the block of a report that its cells belong to; None: the block of what holds it.
        synthesis: whether it stays a module.
        buffers: block of the buffers that synthesis adds in it to drive the modules below; None: `block`.
        both_polarities: its registers offer their complements to the optimiser for nothing, as the cells do.
        by_sweeping: rows of multipliers and long delays, whose equivalence is proven as one circuit
            (`fineq_asic.equivalence.multipliers`) and not net by net.
        repeated: there are many of it and it is large, so it is worth building once for all.

    Raises:
        ValueError: a module that stays whole and belongs to no block of its own.
    """

    block: CoreBlock | MachineBlock | None
    synthesis: Synthesis = Synthesis.DISSOLVE
    buffers: CoreBlock | None = None
    both_polarities: bool = False
    by_sweeping: bool = False
    repeated: bool = False

    def __post_init__(self) -> None:
        if self.synthesis is Synthesis.KEEP and self.block is None:
            raise ValueError("a module that synthesis keeps needs a block of its own: what holds it has other cells")


PART = Role(None)
"""A component that is part of what holds it, in the reports too."""

CELL = Role(None, Synthesis.CELL)
"""A component that stands for one library cell; its area is that of what holds it."""
