"""Chains of jobs and memories on which the twin is held against the RTL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.jobs import OutputFormat
from fineq_sim.driver.memory_timing import DRAM_PARTS, MemoryTiming


@dataclass(frozen=True)
class Layer:
    """One job of a case: M, N, K, what is written, whether vectors end early."""

    tokens: int
    channels: int
    inner: int
    output: OutputFormat = OutputFormat.SUMS
    early_termination: bool = True

    def __str__(self) -> str:
        full = "" if self.early_termination else " full length"
        return f"{self.tokens}x{self.channels}x{self.inner} {self.output.name.lower()}{full}"


@dataclass(frozen=True)
class Case:
    """A chain of jobs and the memory that it meets; `seed`: of weights and activations."""

    layers: tuple[Layer, ...]
    memory: MemoryTiming
    seed: int

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.layers))}; {self.memory}; seed {self.seed}"


LATENCIES: Sequence[int] = (1, 5, 60)
STALLS: Sequence[float] = (0.2, 0.5)
SPEEDS: Sequence[float] = (0.75, 0.5, 0.31)


MANY_TOKENS = 0x1001


def random_memory(rng: np.random.Generator) -> MemoryTiming:
    """Half of them a plain one, the others stalling, slow, or a DRAM."""
    latency, seed = int(rng.choice(LATENCIES)), int(rng.integers(1, 1 << 30))
    kind = rng.integers(8)
    stall = float(rng.choice(STALLS)) if kind in (4, 5, 7) else 0.0
    if kind == 6:
        return MemoryTiming(latency, float(rng.choice(SPEEDS)))
    if kind == 7:
        part = list(DRAM_PARTS.values())[rng.integers(len(DRAM_PARTS))]
        return MemoryTiming(latency, stall=stall if rng.random() < 0.5 else 0.0, seed=seed, dram=part)
    return MemoryTiming(latency, stall=stall, seed=seed)


def random_cases(config: AcceleratorConfig, count: int, seed: int) -> Iterator[Case]:
    """Cases of every kind: the smallest job, one channel beyond a tile, ragged sizes, chains of one to three.

    The second one has so many tokens that checking its descriptor takes longer than dividing.

    Args:
        config: the machine.
        count: of the cases.
        seed: the same seed gives the same cases.
    """
    rng = np.random.default_rng(seed)
    for number in range(count):
        layers = tuple(random_layer(config, rng) for _ in range(rng.integers(1, 4)))
        if number % 10 == 0:
            layers = (Layer(1, 1, 1, layers[0].output), *layers[1:])
        if number == 1:
            layers = (Layer(MANY_TOKENS, 1, 1), *layers[1:])
        yield Case(layers, random_memory(rng), int(rng.integers(1 << 30)))


def random_layer(config: AcceleratorConfig, rng: np.random.Generator) -> Layer:
    """A job of up to two and a half tiles in each direction; or many tokens of few channels, whose results wait."""
    rows, whole, columns = config.array.rows, config.channels_per_tile, config.array.columns
    line, final = columns * config.line_slices, config.final_channels

    def size(special: Sequence[int], tile: int) -> int:
        return int(rng.choice(special) if rng.random() < 0.4 else rng.integers(1, int(2.5 * tile) + 2))

    tokens = size([1, rows, rows + 1], rows)
    channels = size([1, whole, whole + 1, final, final + 1], whole)
    inner = size([1, columns, line, line + 1], line)
    if rng.random() < 0.1:
        tokens, channels, inner = int(rng.integers(4, 9)) * rows + 1, int(rng.integers(1, 4)), size([1], columns)
    output = OutputFormat(int(rng.integers(len(OutputFormat))))
    return Layer(tokens, channels, inner, output, bool(rng.random() < 0.75))


def large_cases(config: AcceleratorConfig, seed: int) -> Iterator[Case]:
    """Eleven shapes around the tiles of a large array, each with one output and one memory."""
    rng = np.random.default_rng(seed)
    rows, whole, columns = config.array.rows, config.channels_per_tile, config.array.columns
    line, final = columns * config.line_slices, config.final_channels
    shapes = [
        (1, 1, 1),
        (1, whole + final, line + 1),
        (rows, final, columns),
        (rows + 1, whole + 1, columns + 1),
        (rows, whole, line),
        (3, 2 * whole + 6, columns),
        (2 * rows + 2, final - 28, 2 * line),
        (rows + rows // 2, 3 * final, 4 * columns),
        (3 * rows + 8, columns + 1, 2 * columns + 1),
        (rows, columns, 16 * columns),
        (6 * rows + 1, 3, 2 * columns),
    ]
    for number, shape in enumerate(shapes):
        layer = Layer(*shape, OutputFormat(number % len(OutputFormat)), number % 4 != 3)
        yield Case((layer,), random_memory(rng), int(rng.integers(1 << 30)))
