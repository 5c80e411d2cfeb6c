"""Compression of columns of bits: the fewest full adders, and late bits late."""

from __future__ import annotations

from fineq_hw.cells.compression import Bit, compress


def test_sum_of_64_bytes_takes_the_minimum_of_498_full_adders():
    columns = [[Bit(0, ("input", operand, bit)) for operand in range(64)] for bit in range(8)] + [[]] * 6
    compression = compress(columns, ripple_columns=14)
    assert compression.count("full") == 64 * 8 - 14
    assert compression.count("half") <= 8


def test_late_operand_enters_late():
    early = [[Bit(0, ("input", operand, 0)) for operand in range(30)], [], [], [], [], []]
    base = compress(early).arrival
    early[0].append(Bit(base - 3, ("input", 30, 0)))
    assert compress(early).arrival <= base + 3
