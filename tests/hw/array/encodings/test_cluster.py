"""Encoder of a cluster: the three columns share their slots."""

from __future__ import annotations

from itertools import product

from helpers.hardware.amaranth_bench import simulate

from fineq.format import MAX_MAGNITUDE
from fineq.format.temporal import array_cycles
from fineq_hw.array.encodings.registry import groups
from fineq_hw.config import ArrayConfig


def test_cluster_encoder_takes_a_second_step_for_twins_only():
    """Every three weights that the format can store: each slot takes one value, and the pulses add up."""
    group = groups(ArrayConfig(encoding="cluster", sign_handling="column"))[0]
    encoder = group.make_encoder()
    values = range(-MAX_MAGNITUDE, MAX_MAGNITUDE + 1)

    async def bench(ctx):
        for weights in product(values, repeat=3):
            if max(map(abs, weights)) > 1 and 0 not in weights:
                continue
            ctx.set(encoder.weights, [{"magnitude": abs(w), "sign": int(w < 0)} for w in weights])
            ctx.set(encoder.load, 1)
            ctx.set(encoder.update, 1)
            await ctx.tick()
            ctx.set(encoder.load, 0)
            total = [0, 0, 0]
            steps = int(array_cycles([weights], "cluster")[0])
            assert steps == 1 + ([*map(abs, weights)].count(MAX_MAGNITUDE) == 2)
            for _ in range(steps):
                lines = ctx.get(encoder.lines)
                for slot in range(3):
                    taken = [(slot, 1)] if lines.single >> slot & 1 else []
                    taken += [(a, 2) for a in range(3) if a != slot and lines[f"double_{a}_in_{slot}"]]
                    assert len(taken) <= 1
                    for column, worth in taken:
                        total[column] += -worth if lines.negative >> column & 1 else worth
                await ctx.tick()
            assert total == list(weights)
            lines = ctx.get(encoder.lines)
            doubles = [lines[f"double_{a}_in_{slot}"] for slot in range(3) for a in range(3) if a != slot]
            assert not lines.single and not any(doubles), "the lines must be idle behind the last step"

    simulate(encoder, bench)
