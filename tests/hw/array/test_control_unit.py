"""The control unit's handshakes."""

from __future__ import annotations

from helpers.hardware.amaranth_bench import simulate

from fineq_hw.array.control_unit import ControlUnit
from fineq_hw.config import ArrayConfig


def test_control_unit_waits_for_partial_sums_and_takes_one_beat_each():
    control = ControlUnit(ArrayConfig(rows=1, columns=1))

    async def bench(ctx):
        ctx.set(control.early_termination, 1)
        ctx.set(control.results_ready, 1)
        assert not ctx.get(control.weights_ready)
        ctx.set(control.activations_valid, 1)
        await ctx.tick()
        assert not ctx.get(control.activations_ready)
        ctx.set(control.magnitudes, [2])
        ctx.set(control.weights_valid, 1)
        ctx.set(control.weights_accumulate, 1)
        await ctx.tick()
        ctx.set(control.weights_valid, 0)
        for _ in range(3):
            assert ctx.get(control.partials_ready) and not ctx.get(control.computing)
            await ctx.tick()
        ctx.set(control.partials_valid, 1)
        assert ctx.get(control.computing) and ctx.get(control.take_partial) and not ctx.get(control.hold)
        await ctx.tick()
        assert ctx.get(control.computing) and not ctx.get(control.partials_ready) and ctx.get(control.hold)
        assert ctx.get(control.weights_ready)
        await ctx.tick()
        assert ctx.get(control.results_valid) and not ctx.get(control.computing)

    simulate(control, bench)
