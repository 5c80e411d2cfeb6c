"""The vector unit in Amaranth's simulator: a quick look without a build.

The thorough bench is fineq_sim/benches/vector/vector_unit_bench.py.
"""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from helpers.hardware.hardware_simulation import simulate

from fineq_hw.config import ACCELERATORS
from fineq_hw.interface.jobs import FRACTION_BITS, MAX_INT8, ActivationFunction, OutputFormat
from fineq_hw.latencies import VECTOR_LANE_LATENCY, VECTOR_UNIT_LATENCY
from fineq_hw.vector.activation_functions import GUARD_BITS, INDEX_BITS, table
from fineq_hw.vector.vector_lane import VectorLane
from fineq_hw.vector.vector_unit import VectorUnit

LIMIT = 1 << 31


def saturated(value: int) -> int:
    return max(-LIMIT, min(LIMIT - 1, value))


def function_value(function: ActivationFunction, x: int) -> int:
    """From the definition: relu(x) less the table's g(|x|), interpolated and rounded half up."""
    if function is ActivationFunction.NONE:
        return x
    result = max(x, 0)
    if function is not ActivationFunction.RELU:
        segments = table(function)
        index, position = divmod(abs(x), 1 << segments.segment_bits)
        if index < 1 << INDEX_BITS:
            rise = Fraction(segments.deltas[index] * position, 1 << segments.segment_bits)
            exact = (segments.bases[index] + rise) / (1 << GUARD_BITS)
            result -= (exact + Fraction(1, 2)) // 1
    return int(result)


def reference(format_, function, value, channel, token, multiplier, shift) -> int:
    if format_ is OutputFormat.SUMS:
        return value
    total = max(channel["shift"] + token["shift"] - FRACTION_BITS, 0)
    product = Fraction(value * channel["multiplier"] * token["multiplier"], 1 << total)
    result = function_value(function, saturated(saturated(round(product)) + channel["bias"]))
    if format_ is OutputFormat.INT8:
        result = max(-MAX_INT8, min(MAX_INT8, round(Fraction(result * multiplier, 1 << shift))))
    return result


@pytest.mark.parametrize("format_", list(OutputFormat))
def test_lane_computes_one_result_a_cycle(format_):
    """Pipelined, with pauses; the settings change when the lane is empty."""
    numbers = random.Random(format_.value)
    lane = VectorLane(24)

    def case():
        sizes = [numbers.getrandbits(numbers.randrange(1, 33)) for _ in range(4)]
        channel = {"multiplier": numbers.choice([65535, sizes[0] & 65535]), "shift": numbers.randrange(8, 40)}
        channel |= {"bias": numbers.choice([0, sizes[1] % LIMIT, -sizes[2] % LIMIT, -LIMIT, LIMIT - 1])}
        token = {"multiplier": numbers.choice([65535, sizes[3] & 65535]), "shift": numbers.randrange(8, 20)}
        value = numbers.choice([-(1 << 23), (1 << 23) - 1, sizes[0] % (1 << 23), -(sizes[1] % (1 << 23))])
        return value, channel, token

    async def bench(ctx):
        functions = [ActivationFunction.NONE] if format_ is OutputFormat.SUMS else list(ActivationFunction)
        for function in functions:
            settings = (numbers.randrange(1 << 16), numbers.choice([0, 11, 27, 40]))
            ctx.set(lane.settings.output_format, format_)
            ctx.set(lane.settings.function, function)
            ctx.set(lane.settings.requantize_multiplier, settings[0])
            ctx.set(lane.settings.requantize_shift, settings[1])
            expected = []
            for _ in range(120):
                value, channel, token = case()
                expected.append(reference(format_, function, value, channel, token, *settings))
                ctx.set(lane.sum, value)
                ctx.set(lane.channel, channel)
                ctx.set(lane.token, token)
                while numbers.random() < 0.2:
                    ctx.set(lane.enable, 0)
                    await ctx.tick()
                ctx.set(lane.enable, 1)
                await ctx.tick()
                if len(expected) >= VECTOR_LANE_LATENCY:
                    got, wanted = ctx.get(lane.result), expected[-VECTOR_LANE_LATENCY]
                    assert got == wanted, f"{function.name}: {got}, expected {wanted}"

    simulate(lane, bench)


@pytest.mark.parametrize(("name", "lanes"), [("accelerator_8x24", 2), ("accelerator_16x16", 4)])
def test_unit_packs_four_groups_of_bytes_into_a_word(name, lanes):
    config = ACCELERATORS[name]
    unit = VectorUnit(config)
    assert config.vector_lanes == lanes

    async def bench(ctx):
        ctx.set(unit.job.output_format, OutputFormat.INT8)
        ctx.set(unit.job.requantize_multiplier, 1)
        words = []
        groups = 6  # one and a half words, the last group short by a lane
        for cycle in range(groups + VECTOR_UNIT_LATENCY + 2):
            ctx.set(unit.words.ready, 1)
            ctx.set(unit.scaled.valid, cycle < groups)
            for lane in range(lanes):
                ctx.set(unit.scaled.payload.channels[lane].bias, 1 + cycle * lanes + lane)
            ctx.set(unit.scaled.payload.valid_lanes, lanes - (cycle == groups - 1))
            ctx.set(unit.scaled.payload.row_last, cycle == groups - 1)
            _, _, valid, word = await ctx.tick().sample(unit.words.valid, unit.words.payload)
            if valid:
                words.append((cycle, word.data.to_bytes(config.bus_bytes, "little"), word.strobe, word.row_last))
        size = config.bus_bytes
        half = bytes(range(size + 1, size + 2 * lanes))
        assert words == [
            (3 + VECTOR_UNIT_LATENCY, bytes(range(1, size + 1)), (1 << size) - 1, 0),
            (groups - 1 + VECTOR_UNIT_LATENCY, half.ljust(size, b"\0"), (1 << len(half)) - 1, 1),
        ]
        assert not ctx.get(unit.busy)

    simulate(unit, bench)
