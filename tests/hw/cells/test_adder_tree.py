"""Adder trees against sums of integers, and the texts of their errors."""

from __future__ import annotations

import gc
import random

import pytest
from helpers.hardware.amaranth_bench import simulate

from fineq_hw.cells.adder_tree import AdderTree, Popcount


@pytest.mark.parametrize("structure", ["structural", "behavioural"])
@pytest.mark.parametrize(
    ("operand_bits", "sum_bits", "constant", "ripple_columns"),
    [
        ([1], 1, 0, 0),
        ([1], 3, 5, 0),
        ([3, 3], 4, 0, 4),
        ([8] * 5 + [12], 12, -640, 0),
        ([2, 7, 1, 9], 9, 300, 9),
        ([4] * 9 + [6], 6, -1, 3),
        ([5] * 3, 3, 4, 2),
    ],
)
def test_adder_tree_adds(structure, operand_bits, sum_bits, constant, ripple_columns):
    tree = AdderTree(operand_bits, sum_bits, constant=constant, structure=structure, ripple_columns=ripple_columns)
    numbers = random.Random(1)

    async def bench(ctx):
        for trial in range(60):
            values = [numbers.getrandbits(bits) if trial else (1 << bits) - 1 for bits in operand_bits]
            for index, value in enumerate(values):
                ctx.set(tree.operands[f"operand_{index}"], value)
            assert ctx.get(tree.sum) == (sum(values) + constant) % (1 << sum_bits)

    simulate(tree, bench, clocked=False)


@pytest.mark.parametrize("lines", [1, 2, 7, 64])
def test_popcount(lines):
    counter = Popcount(lines, "structural")

    async def bench(ctx):
        for ones in range(lines + 1):
            picked = random.Random(ones).sample(range(lines), ones)
            ctx.set(counter.operands.as_value(), sum(1 << line for line in picked))
            assert ctx.get(counter.sum) == ones

    simulate(counter, bench, clocked=False)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: AdderTree([], 4), "operand_bits is empty: an adder tree needs at least one operand"),
        (lambda: AdderTree([3, 0], 4), "operand_bits and sum_bits must be at least 1"),
        (lambda: AdderTree([3], 4, structure="csa"), "structure is 'csa': choose one of structural, behavioural"),
        (lambda: AdderTree([3], 4, arrivals=[0, 1]), "arrivals has 2 entries for 1 operands: give one each"),
        (lambda: AdderTree([3, 4], 4, shifts=[1]), "shifts is [1] for 2 operands: give one each, at least 0"),
    ],
)
def test_error_texts(make, text):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value).startswith(text)
    del error
    gc.collect()  # the rejected component warns here, where it is ignored
