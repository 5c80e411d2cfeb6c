"""All encodings by name."""

from __future__ import annotations

from fineq_hw.array.encodings.base import Encoding, Group, Slot
from fineq_hw.array.encodings.bitplane import Bitplane
from fineq_hw.array.encodings.cluster import Cluster
from fineq_hw.array.encodings.parallel import Parallel
from fineq_hw.array.encodings.two_s_unary import TwosUnary
from fineq_hw.array.encodings.unary import Unary
from fineq_hw.config import ArrayConfig

ENCODINGS: dict[str, Encoding] = {
    encoding.name: encoding
    for encoding in (
        Unary(),
        TwosUnary(),
        Bitplane(),
        Parallel(),
        Cluster(),
    )
}
"""Hardware of every encoding of `fineq.format.temporal.ENCODINGS`."""


def encoding_of(config: ArrayConfig) -> Encoding:
    """The encoding of an array."""
    return ENCODINGS[config.encoding]


def groups(config: ArrayConfig) -> list[Group]:
    """All groups of a row, in the order of their columns."""
    return encoding_of(config).groups(config)


def row_slots(config: ArrayConfig) -> list[Slot]:
    """All operands that the columns of a row give to its adder tree."""
    return [slot for group in groups(config) for slot in group.slots]
