"""What SRAM takes: CACTI's figures at 45 nm from the table sram-45nm.csv, made by `fineq sram-energy`.

Three kinds of cells; the study takes `lop` (low operating power) and shows the range that the others give. Sizes
between those of the table are interpolated in the logarithms of words and bits.

CACTI's memories of wide words are no sensible designs: 64 words of 1536 bits take 7 µm² per bit, more than flip-flops
do (4.5 µm² in the library of the synthesis), and 5 times the energy of eight memories of 192 bits side by side. So
wide words stand in slices, and the range that is shown reaches to CACTI's own wide memory.
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fineq.common.errors import FineqError

CODE_FILES = ("sram-45nm.csv",)

TABLE = Path(__file__).with_name(*CODE_FILES)
CELLS = ("lop", "lstp", "hp")
"""ITRS device types: low operating power, low standby power, high performance. The first one is the study's."""

DEPTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
WIDTHS = (64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
"""Words and bits of which the table has every combination, beside the memories of the named machines."""

SLICE_BITS = 192
"""Widest memory that a word stands in; wider words stand in several, side by side. The machine's weights have it."""


class SramError(FineqError):
    """A memory that the table does not reach; the text says which."""


@dataclass(frozen=True)
class SramFigures:
    """Of one memory with a read and a write port.

    Attributes:
        read, write: pJ per word.
        leakage: mW.
        area: mm².
    """

    read: float
    write: float
    leakage: float
    area: float


FIELDS = ("read", "write", "leakage", "area")


@cache
def _table() -> dict[tuple[str, int, int], SramFigures]:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {
        (row["cell"], int(row["words"]), int(row["bits"])): SramFigures(*(float(row[name]) for name in FIELDS))
        for row in csv.DictReader(lines)
    }


@cache
def sram_figures(words: int, bits: int, cell: str = CELLS[0], widest: int = SLICE_BITS) -> SramFigures:
    """Figures of a memory, from the table or between its sizes.

    Args:
        words, bits: of the memory.
        cell: one of `CELLS`.
        widest: bits of the widest slice.

    Raises:
        SramError: it is larger than what the table has. Smaller ones count as the smallest.
    """
    table = _table()
    if words > DEPTHS[-1]:
        raise SramError(f"a memory of {words} words is larger than the {DEPTHS[-1]} of {TABLE.name}: use a smaller one")
    parts = -(-bits // min(widest, WIDTHS[-1]))
    if parts > 1:
        one = sram_figures(words, -(-bits // parts), cell, widest)
        return SramFigures(*(parts * getattr(one, name) for name in FIELDS))
    if (cell, words, bits) in table:
        return table[cell, words, bits]
    corners = [
        (share_w * share_b, table[cell, w, b])
        for w, share_w in _between(DEPTHS, words)
        for b, share_b in _between(WIDTHS, bits)
    ]

    def mean(of: Callable[[SramFigures], float]) -> float:
        return math.exp(sum(share * math.log(of(each)) for share, each in corners if share))

    return SramFigures(*(mean(lambda each, name=name: getattr(each, name)) for name in FIELDS))  # type: ignore[misc]


def _between(known: tuple[int, ...], size: int) -> list[tuple[int, float]]:
    """The two neighbours of a size and their shares, in the logarithm."""
    if size <= known[0]:
        return [(known[0], 1.0)]
    if size >= known[-1]:
        return [(known[-1], 1.0)]
    high = bisect_right(known, size)
    low = high - 1
    share = math.log(size / known[low]) / math.log(known[high] / known[low])
    return [(known[low], 1 - share), (known[high], share)]
