"""A whole linear layer through the verilated packed core, fast: the loop over the cycles is C++.

    vectors = fineq.quantizer.golden_vectors.read_vectors(directory)
    run = run_layer(vectors, "fineq_64x64")
    assert (run.sums == vectors.expected_sums).all()

The tiles follow `fineq_sim.reference.layer_partition`; the sums of a tile come back as the starting values of the next.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from fineq.common.errors import FineqError
from fineq_hw.config import ARRAYS, ArrayConfig
from fineq_sim.reference.layer_partition import LayerTile, inner_tiles, tile_inputs, tiles, weight_lines
from fineq_sim.reference.payloads import Payloads
from fineq_sim.runs.duts import component_design
from fineq_sim.runs.simulators import SimulatorError
from fineq_sim.runs.verilated_program import build_program

CODE_FILES = ("layer_harness.cpp",)

_HARNESS = Path(__file__).with_name("layer_harness.cpp")
_PATIENCE = 10_000
"""Cycles without any transfer after which the driver gives up."""


class LayerVectors(Protocol):
    """What `run_layer` needs; `fineq.quantizer.golden_vectors.GoldenVectors` has it."""

    @property
    def blocks(self) -> np.ndarray: ...

    @property
    def codes(self) -> np.ndarray: ...

    @property
    def activations(self) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class LayerRun:
    """Outcome of a layer on the simulated core.

    Attributes:
        sums: int32 [M, N], the integer results.
        cycles: from the first activation row accepted to the last result taken, both included.
        computing_cycles: cycles in which the array executed a step.
        partial_sums: int32 [tiles along K, M, N], the running sums after each tile.
        early_termination: how the core was run.
    """

    sums: np.ndarray
    cycles: int
    computing_cycles: int
    partial_sums: np.ndarray
    early_termination: bool


@dataclass(frozen=True)
class Difference:
    """The first place where a simulated layer leaves the integer reference."""

    token: int
    channel: int
    k_tile: int
    got: int
    expected: int

    def __str__(self) -> str:
        return (
            f"first difference at token {self.token}, output channel {self.channel}, tile {self.k_tile} along K: "
            f"running sum {self.got}, expected {self.expected}"
        )


def build_layer_simulator(config: ArrayConfig, cache: Path | None = None) -> Path:
    """Compile the packed core of a configuration together with the driver, or find it compiled.

    Returns:
        The program.

    Raises:
        SimulatorError: Verilator or a program that it needs is missing, or the compilation failed.
    """
    design = component_design("packed", config, cache)
    return build_program(f"layer-{config.rows}x{config.columns}", design, _HARNESS, cache)


def _words(beats: Iterable[int], words: int) -> bytes:
    return b"".join(beat.to_bytes(words * 4, "little") for beat in beats)


def _beats(vectors: LayerVectors, config: ArrayConfig, plan: list[LayerTile], early_termination: bool) -> bytes:
    """The input file of the driver (see layer_harness.cpp)."""
    payloads = Payloads(config)
    channels, columns = len(vectors.codes), config.columns
    partial_bits = config.accumulator_bits * config.rows
    bits = {
        "activation": config.activation_bits * columns + 1,
        "line": 8 * config.line_bytes + payloads.slice_bits + 2,
        "partial": partial_bits,
        "result": partial_bits + 1,
    }
    # Verilator keeps ports of 33 to 64 bits in one 64-bit word, wider ones in as many 32-bit words as needed.
    words = {name: max(-(-width // 32), 1) for name, width in bits.items()}
    stored = weight_lines(vectors.blocks, vectors.codes.shape[1], config)

    def activations(tile: LayerTile) -> Iterable[int]:
        rows = vectors.activations[tile.first_row : tile.first_row + tile.rows]
        for number, row in enumerate(tile_inputs(rows, tile.k, config)):
            yield payloads.activations(row.tolist(), number == tile.rows - 1)

    def lines(tile: LayerTile) -> Iterable[int]:
        line, slice_number = divmod(tile.k, config.line_slices)
        for channel in range(channels):
            yield payloads.line(stored[channel, line].tobytes(), slice_number, tile.accumulate, channel == channels - 1)

    header = [
        int(early_termination),
        len(plan),
        channels,
        sum(tile.rows for tile in plan),
        words["activation"],
        words["line"],
        words["partial"],
        partial_bits,
        words["result"],
        _PATIENCE,
    ]
    header += [int(not tile.final) for tile in plan]
    content = [np.array(header, dtype="<u4").tobytes()]
    content += [_words(activations(tile), words["activation"]) for tile in plan]
    content += [_words(lines(tile), words["line"]) for tile in plan]
    return b"".join(content)


def _signed_fields(words: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Take `count` signed fields of `bits` bits from each row of 32-bit words; int64 [len(words), count]."""
    flat = np.unpackbits(words.view(np.uint8), axis=1, count=bits * count, bitorder="little")
    fields = flat.reshape(len(words), count, bits).astype(np.int64)
    weights = 1 << np.arange(bits, dtype=np.int64)
    weights[-1] = -weights[-1]
    return fields @ weights


def run_layer(
    vectors: LayerVectors,
    config: str | ArrayConfig = "fineq_64x64",
    *,
    early_termination: bool = True,
    adder_tree: str | None = "behavioural",
    cache: Path | None = None,
) -> LayerRun:
    """Run a linear layer on the verilated `PackedCore`.

    Args:
        vectors: packed weights uint8 [N, 7 * ceil(K / 24)], codes int8 [N, K] (for their shape alone) and
            activations int8 [M, K].
        config: name of an array or its parameters.
        early_termination: as the port of the core.
        adder_tree: `behavioural` for a simulation that builds faster, `structural` for the adders cell by
            cell, None for what the configuration says. The testbenches show that the sums are the same.
        cache: directory of built simulations.

    Raises:
        SimulatorError: Verilator is missing, the build failed, or the core hung.
        ValueError: unknown configuration; shapes that do not fit; sums that could overflow.
    """
    if isinstance(config, str):
        if config not in ARRAYS:
            raise FineqError(f"unknown array {config!r}: choose one of {', '.join(ARRAYS)}")
        config = ARRAYS[config]
    if adder_tree is not None:
        config = replace(config, adder_tree=adder_tree)
    channels, inner = vectors.codes.shape
    tokens = len(vectors.activations)
    if vectors.activations.shape[1] != inner:
        raise ValueError(f"activations have {vectors.activations.shape[1]} columns, the weights have {inner}")
    plan = list(tiles(tokens, inner, config))
    program = build_layer_simulator(config, cache)
    with tempfile.TemporaryDirectory() as directory:
        beats, results = Path(directory) / "beats", Path(directory) / "results"
        beats.write_bytes(_beats(vectors, config, plan, early_termination))
        outcome = subprocess.run([program, beats, results], capture_output=True, text=True)
        if outcome.returncode:
            raise SimulatorError(f"the layer simulation broke down: {outcome.stderr.strip() or outcome.returncode}")
        content = results.read_bytes()
    cycles, computing = np.frombuffer(content, dtype="<u8", count=2).tolist()
    words = np.frombuffer(content, dtype="<u4", offset=16).reshape(len(plan) * channels, -1)

    running = np.zeros((inner_tiles(inner, config), tokens, channels), dtype=np.int32)
    for number, tile in enumerate(plan):
        block = words[number * channels : (number + 1) * channels]
        sums = _signed_fields(block, config.accumulator_bits, config.rows)[:, : tile.rows]
        running[tile.k, tile.first_row : tile.first_row + tile.rows] = sums.T
    return LayerRun(running[-1], cycles, computing, running, early_termination)


def first_difference(run: LayerRun, vectors: LayerVectors, config: str | ArrayConfig) -> Difference | None:
    """Where a simulated layer first leaves the integer reference, or None if it never does.

    Args:
        run: outcome of `run_layer`.
        vectors: the layer that was run.
        config: array it was run on.

    Returns:
        The first difference in the order of execution: tile along K, then output channel, then token.
    """
    config = ARRAYS[config] if isinstance(config, str) else config
    expected = np.zeros(run.sums.shape, dtype=np.int64)
    for k, got in enumerate(run.partial_sums):
        activations, codes = (tile_inputs(each, k, config) for each in (vectors.activations, vectors.codes))
        expected += activations.astype(np.int64) @ codes.astype(np.int64).T
        wrong = np.argwhere((got != expected).T)
        if len(wrong):
            channel, token = wrong[0].tolist()
            return Difference(token, channel, k, int(got[token, channel]), int(expected[token, channel]))
    return None
