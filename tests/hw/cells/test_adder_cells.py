"""Full and half adder, on every input."""

from __future__ import annotations

import pytest
from amaranth.lib.wiring import In
from helpers.hardware.amaranth_bench import simulate

from fineq_hw.cells.adder_cells import FullAdder, HalfAdder


@pytest.mark.parametrize("adder", [FullAdder(), HalfAdder()])
def test_adder_cells(adder):
    inputs = [getattr(adder, name) for name, member in adder.signature.members.items() if member.flow is In]

    async def bench(ctx):
        for bits in range(1 << len(inputs)):
            for position, port in enumerate(inputs):
                ctx.set(port, bits >> position & 1)
            assert 2 * ctx.get(adder.carry) + ctx.get(adder.sum) == bits.bit_count()

    simulate(adder, bench, clocked=False)
