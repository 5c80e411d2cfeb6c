"""Vector unit: every output format and function against `vector_reference`, with corners; packing, rate, latency."""

from __future__ import annotations

import random
from dataclasses import dataclass

import cocotb

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.jobs import FRACTION_BITS, MAX_INT8, ActivationFunction, OutputFormat
from fineq_hw.latencies import VECTOR_UNIT_LATENCY
from fineq_hw.lib.machine_streams import job_layout, scaled_group_layout, write_word_layout
from fineq_hw.vector.activation_functions import TABLE_FUNCTIONS
from fineq_sim.bench.bench import Bench
from fineq_sim.bench.testbench import random_source, reset
from fineq_sim.coverage.vector import sample_result
from fineq_sim.reference.vector_unit import MAX_MULTIPLIER, MAX_SHIFT, VectorSettings, vector_unit

FORMATS = [(OutputFormat.SUMS, ActivationFunction.NONE)] + [
    (output_format, function)
    for output_format in (OutputFormat.FIXED, OutputFormat.INT8)
    for function in ActivationFunction
]


@dataclass
class Channel:
    """Sum of a token and a channel, with the channel's parameters."""

    sum: int
    multiplier: int
    shift: int
    bias: int


class VectorUnitBench(Bench[AcceleratorConfig]):
    """A row is a list of `Channel` with the token's multiplier and shift; each row ends a word."""

    def __init__(self, dut, settings: VectorSettings, stall: float = 0.0) -> None:
        super().__init__(dut, stall, f"vector {settings} {stall}")
        self.job = settings
        self.group_layout = scaled_group_layout(self.config)
        self.word_layout = write_word_layout(self.config)
        self.scaled, self.words = self.producer("scaled"), self.consumer("words")
        self.expected: list[tuple[int, int, int]] = []
        self.drive(job=job_layout(self.config).const(vars(settings)).as_value().value)

    def send(self, row: list[Channel], multiplier: int, shift: int) -> None:
        lanes, source = self.config.vector_lanes, self.source
        for start in range(0, len(row), lanes):
            some = row[start : start + lanes]
            # What the invalid lanes hold must not matter, nor what is in unused fields.
            noise = [self.random_channel() for _ in range(lanes - len(some))]
            channels = [
                {
                    "multiplier": channel.multiplier,
                    "shift": channel.shift | source.randrange(4) << 6,
                    "reserved": source.randrange(256),
                    "bias": channel.bias,
                }
                for channel in some + noise
            ]
            group = self.group_layout.const(
                {
                    "sums": [channel.sum for channel in some + noise],
                    "channels": channels,
                    "token": {"multiplier": multiplier, "shift": shift, "reserved": source.randrange(256)},
                    "valid_lanes": len(some),
                    "row_last": int(start + lanes >= len(row)),
                    "last": source.randrange(2),
                }
            )
            self.scaled.send([group.as_value().value])
        self._expect(row, multiplier, shift)

    def _expect(self, row: list[Channel], multiplier: int, shift: int) -> None:
        results = vector_unit(
            self.job,
            [[channel.sum for channel in row]],
            [channel.multiplier for channel in row],
            [channel.shift for channel in row],
            [channel.bias for channel in row],
            multiplier,
            shift,
        )[0]
        for value in results.tolist():
            sample_result(OutputFormat(self.job.output_format), ActivationFunction(self.job.function), value)
        size = self.config.bus_bytes
        data = results.astype(results.dtype.newbyteorder("<")).tobytes()
        for start in range(0, len(data), size):
            word = data[start : start + size]
            self.expected.append((int.from_bytes(word, "little"), (1 << len(word)) - 1, int(start + size >= len(data))))

    def random_channel(self) -> Channel:
        source, bits = self.source, self.config.array.accumulator_bits
        limit = 1 << (bits - 1)
        magnitude = source.getrandbits(source.randrange(1, bits))
        return Channel(
            source.choice([0, 1, -1, -limit, limit - 1, magnitude, -magnitude, source.randrange(-limit, limit)]),
            source.choice([0, 1, MAX_MULTIPLIER, source.getrandbits(16), source.getrandbits(16) | 1 << 15]),
            source.choice([0, MAX_SHIFT, source.randrange(MAX_SHIFT + 1), source.randrange(14, 30)]),
            source.choice([0, 0, -(1 << 31), (1 << 31) - 1, random_fixed(source), random_fixed(source)]),
        )

    def random_token(self) -> tuple[int, int]:
        source = self.source
        return (
            source.choice([0, 1, MAX_MULTIPLIER, source.getrandbits(16), source.getrandbits(16) | 1 << 15]),
            source.choice([0, MAX_SHIFT, source.randrange(MAX_SHIFT + 1), source.randrange(14, 30)]),
        )

    async def check(self, within: int = 20_000) -> None:
        payloads = await self.words.receive(len(self.expected), within)
        for number, (payload, expected) in enumerate(zip(payloads, self.expected, strict=True)):
            word = self.word_layout.from_bits(payload)
            got = (word.data, word.strobe, word.row_last)
            assert got == expected, f"word {number} is {_text(got)}, expected {_text(expected)} ({self.job})"
        await self.finish(VECTOR_UNIT_LATENCY + 3)
        assert not self.read("busy")
        self.expected.clear()


def _text(word: tuple[int, int, int]) -> str:
    return f"{word[0]:#x} strobe {word[1]:#x} row_last {word[2]}"


def random_fixed(source: random.Random) -> int:
    """A number whose size is spread over all powers of two."""
    return source.getrandbits(source.randrange(1, 32)) * source.choice((-1, 1))


def random_settings(source: random.Random, output_format: OutputFormat, function: ActivationFunction) -> VectorSettings:
    multiplier = source.choice([MAX_MULTIPLIER, source.getrandbits(16), source.getrandbits(16) | 1 << 15])
    return VectorSettings(output_format, function, multiplier, source.choice([0, 3, 20, 27, 31, MAX_SHIFT]))


@cocotb.test()
@cocotb.parametrize(case=list(range(len(FORMATS))), stall=[0.0, 0.4])
async def random_rows(dut, case, stall):
    """Rows of every length up to some words, with random and extreme parameters."""
    output_format, function = FORMATS[case]
    source = random_source(f"settings {case} {stall}")
    tb = await VectorUnitBench.begun(dut, random_settings(source, output_format, function), stall)
    for _ in range(3):
        for length in [*range(1, 2 * tb.config.bus_bytes + 2), 40]:
            tb.send([tb.random_channel() for _ in range(length)], *tb.random_token())
    await tb.check()


def row_of(values: list[int], tb: VectorUnitBench) -> list[Channel]:
    """Channels whose biased results are the values: they come from the bias alone."""
    return [Channel(0, tb.source.getrandbits(16), tb.source.randrange(64), value) for value in values]


@cocotb.test()
@cocotb.parametrize(function=list(TABLE_FUNCTIONS))
async def function_at_many_arguments(dut, function):
    """Every segment of the tables at its ends and between, both signs, and all powers of two."""
    tb = await VectorUnitBench.begun(dut, VectorSettings(OutputFormat.FIXED, function))
    step = 1 << (FRACTION_BITS - 6)
    values = [multiple * step + offset for multiple in range(17 << 6) for offset in (-1, 0, tb.source.randrange(step))]
    values += [(1 << bit) + offset for bit in range(31) for offset in (-1, 0, 1)] + [(1 << 31) - 1]
    values += [-value for value in values] + [-(1 << 31)]
    tb.send(row_of(values, tb), 1, 0)
    await tb.check()


@cocotb.test()
@cocotb.parametrize(output_format=[OutputFormat.FIXED, OutputFormat.INT8])
async def ties_go_to_even(dut, output_format):
    """Products that lie exactly between two results, and next to it, of both signs."""
    shift = 5
    settings = VectorSettings(output_format, ActivationFunction.NONE, 1, shift)
    tb = await VectorUnitBench.begun(dut, settings)
    sums = [(whole << shift) + (1 << (shift - 1)) + near for whole in range(-9, 10) for near in (-1, 0, 1)]
    if output_format is OutputFormat.FIXED:
        for token_shift in (0, 3, 16):
            row = [Channel(value, 1, shift + FRACTION_BITS - token_shift, 0) for value in sums]
            tb.send(row, 1, token_shift)
    else:
        tb.send([Channel(0, 1, 0, value) for value in sums], 1, 0)
    await tb.check()


@cocotb.test()
async def saturation(dut):
    """Before and after the bias, at both ends, by one and by far."""
    tb = await VectorUnitBench.begun(dut, VectorSettings())
    limit = 1 << (tb.config.array.accumulator_bits - 1)
    low, high = -(1 << 31), (1 << 31) - 1
    for shift in (FRACTION_BITS, FRACTION_BITS + 1, FRACTION_BITS + 8, 40, 63):
        for bias in (0, 1, -1, low, high):
            row = [Channel(value, m, shift, bias) for value in (-limit, limit - 1, 255, -256) for m in (1, 255, 65535)]
            for multiplier in (1, 256, 65535):
                tb.send(row, multiplier, 0)
    reached = {word[0] & 0xFFFFFFFF for word in tb.expected}
    assert {low & 0xFFFFFFFF, high} <= reached
    await tb.check()


@cocotb.test()
async def eight_bits_are_symmetric(dut):
    """Every result from beyond the lowest to beyond the highest: -128 does not occur."""
    tb = VectorUnitBench(dut, VectorSettings(OutputFormat.INT8, ActivationFunction.NONE, 1, 0))
    await tb.begin()
    sums = range(-MAX_INT8 - 4, MAX_INT8 + 5)
    tb.send([Channel(value, 1, FRACTION_BITS, 0) for value in sums], 1, 0)
    written = b"".join(word.to_bytes(strobe.bit_length(), "little") for word, strobe, _ in tb.expected)
    results = [byte - 256 if byte > MAX_INT8 else byte for byte in written]
    assert results == [max(-MAX_INT8, min(value, MAX_INT8)) for value in sums]
    await tb.check()


@cocotb.test()
@cocotb.parametrize(output_format=list(OutputFormat))
async def one_group_a_cycle(dut, output_format):
    tb = await VectorUnitBench.begun(dut, VectorSettings(output_format, ActivationFunction.NONE, 1, 0))
    assert not tb.read("busy")
    groups = 64
    tb.send([tb.random_channel() for _ in range(groups * tb.config.vector_lanes)], *tb.random_token())
    words = len(tb.expected)
    await tb.clock(3)
    assert tb.read("busy")
    await tb.check()
    taken, given = tb.scaled.cycles, tb.words.cycles
    several = tb.config.vector_words
    if output_format is OutputFormat.INT8:
        assert taken == list(range(taken[0], taken[0] + groups))
        per_word = groups // words
        assert per_word == 4 // several
        assert given == [cycle + VECTOR_UNIT_LATENCY for cycle in taken[per_word - 1 :: per_word]]
    else:  # one word a cycle
        assert words == several * groups
        assert given == list(range(taken[0] + VECTOR_UNIT_LATENCY, taken[0] + VECTOR_UNIT_LATENCY + words))


@cocotb.test()
async def reset_forgets_everything(dut):
    """Half a word of a row must not come up in the next job."""
    tb = await VectorUnitBench.begun(dut, VectorSettings(OutputFormat.INT8, ActivationFunction.NONE, 1, 0))
    row = [tb.random_channel() for _ in range(tb.config.bus_bytes)]
    tb.send(row, 1, 0)
    tb.scaled.queue.pop()  # the last group of the word never comes
    begun = bool(tb.scaled.queue)  # unless one group fills it
    await tb.clock(VECTOR_UNIT_LATENCY + 8)
    assert tb.read("busy") == begun and not tb.words.queue
    tb.expected.clear()
    await reset(dut)
    assert not tb.read("busy")
    tb.send(row[: tb.config.vector_lanes], 1, 0)
    await tb.check()
