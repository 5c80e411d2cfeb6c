"""Adder tree: random operands and the corners, against a plain sum."""

from __future__ import annotations

from itertools import product

import cocotb

from fineq_sim.bench.bench import Bench
from fineq_sim.bench.testbench import random_source
from fineq_sim.reference.bits import join


class AdderTreeBench(Bench[None]):
    def __init__(self, dut):
        super().__init__(dut)
        self.widths: list[int] = self.settings["operand_bits"]
        self.constant: int = self.settings["constant"]

    async def check(self, operands: list[int]) -> None:
        self.drive(operands=join(list(zip(operands, self.widths, strict=True))))
        got = await self.read_settled("sum")
        expected = (sum(operands) + self.constant) % (1 << len(self.dut.sum))
        assert got == expected, f"operands {operands}: {got}, expected {expected}"

    def maxima(self) -> list[int]:
        return [(1 << width) - 1 for width in self.widths]


@cocotb.test()
async def corners(dut):
    """All operands at zero, at their maximum, at their sign bit; one operand alone, one operand missing."""
    tb = AdderTreeBench(dut)
    maxima = tb.maxima()
    await tb.check([0] * len(maxima))
    await tb.check(maxima)
    await tb.check([1 << (width - 1) for width in tb.widths])
    await tb.check([value - (1 << (width - 1)) for value, width in zip(maxima, tb.widths, strict=True)])
    for position, value in enumerate(maxima):
        await tb.check([value if i == position else 0 for i in range(len(maxima))])
        await tb.check([0 if i == position else other for i, other in enumerate(maxima)])


@cocotb.test()
async def random_operands(dut):
    tb = AdderTreeBench(dut)
    source = random_source("operands")
    if sum(tb.widths) <= 10:
        for operands in product(*(range(1 << width) for width in tb.widths)):
            await tb.check(list(operands))
        return
    for _ in range(500):
        await tb.check([source.randrange(1 << width) for width in tb.widths])
