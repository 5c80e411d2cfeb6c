"""Encoders of single columns: every weight becomes its pulses, and then nothing."""

from __future__ import annotations

import pytest
from helpers.hardware.amaranth_bench import simulate
from helpers.hardware.encoded_arrays import PULSED, encoding_label

from fineq.format import MAX_MAGNITUDE
from fineq.format.temporal import MAX_CYCLES
from fineq_hw.array.encodings.registry import groups
from fineq_hw.config import ROW_SIGN_ENCODINGS


@pytest.mark.parametrize("config", PULSED, ids=encoding_label)
def test_encoder_sends_the_weight_and_then_nothing(config):
    encoder = groups(config)[0].make_encoder()
    bitplane = config.encoding == "bitplane"

    async def bench(ctx):
        for magnitude in range(MAX_MAGNITUDE + 1):
            for sign in (0, 1):
                ctx.set(encoder.weights, [{"magnitude": magnitude, "sign": sign}])
                ctx.set(encoder.load, 1)
                ctx.set(encoder.update, 1)
                await ctx.tick()
                ctx.set(encoder.load, 0)
                ctx.set(encoder.weights, [{"magnitude": MAX_MAGNITUDE - magnitude, "sign": 1 - sign}])
                total = 0
                for _ in range(MAX_CYCLES[config.encoding]):
                    total = total * (1 + bitplane) + sent(ctx)
                    await ctx.tick()
                assert total == (-magnitude if sign else magnitude)
                assert sent(ctx) == 0

    def sent(ctx) -> int:
        lines = ctx.get(encoder.lines)
        if config.sign_handling == "row":
            return lines.pulse * (1 - 2 * lines.negative)
        if config.encoding in ROW_SIGN_ENCODINGS:
            return lines.when_zero - lines.when_one
        return (lines.single + 2 * lines.double) * (1 - 2 * lines.negative)

    simulate(encoder, bench)
