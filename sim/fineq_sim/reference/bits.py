"""Packing integers into one long vector, the first in the lowest bits, and taking it apart again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def pack(values: Iterable[int], width: int) -> int:
    """Join integers (two's complement) into one vector, the first in the lowest bits."""
    mask = (1 << width) - 1
    packed = 0
    for position, value in enumerate(values):
        packed |= (int(value) & mask) << (position * width)
    return packed


def unpack(packed: int, width: int, count: int, signed: bool = False) -> list[int]:
    """Split a vector into `count` integers, the first from the lowest bits."""
    mask = (1 << width) - 1
    values = [(packed >> (position * width)) & mask for position in range(count)]
    if signed:
        half = 1 << (width - 1)
        values = [value - (value & half) * 2 for value in values]
    return values


def join(fields: Sequence[tuple[int, int]]) -> int:
    """Join (value, width) fields into one vector, the first in the lowest bits."""
    packed = offset = 0
    for value, width in fields:
        packed |= (value & ((1 << width) - 1)) << offset
        offset += width
    return packed
