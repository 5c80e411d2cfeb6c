"""The memories of a machine, and how often a job reads and writes each: from the counters, as the buffers work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fineq_hw.config import AcceleratorConfig
from fineq_hw.dma.write_dma import gather_depth
from fineq_hw.interface.descriptors import inner_tiles
from fineq_hw.interface.records import CHANNEL_PARAMETERS, record_bytes


@dataclass(frozen=True)
class Memory:
    """Memories that are alike, each with one read and one write port.

    Attributes:
        name: what it holds.
        count, words, bits: how many; words of each; bits of a word.
    """

    name: str
    count: int
    words: int
    bits: int

    @property
    def size(self) -> tuple[int, int]:
        """Words and bits."""
        return self.words, self.bits


def memories_of(config: AcceleratorConfig) -> dict[str, Memory]:
    """The memories by what they hold: those of `fineq_hw.buffers` and of the write engine."""
    array, lanes = config.array, config.vector_lanes
    weight_bits = array.weight_bits
    token_words = 2 * config.token_tile_bytes // config.bus_bytes
    found = (
        Memory("activations", 1, 2 * array.rows, 8 * config.activation_tile_bytes),
        Memory("weights", config.line_slices, 2 * config.channels_per_tile, array.columns * weight_bits),
        Memory("sums", 2 * lanes, config.channels_per_tile // lanes, array.accumulator_bits * array.rows),
        Memory(
            "channel records",
            1,
            2 * config.channels_per_tile // lanes,
            8 * lanes * record_bytes(CHANNEL_PARAMETERS),
        ),
        Memory("token records", 1, token_words, config.bus_bits),
        # The last entry of the queue stands in the memory's output register.
        Memory("write queue", 1, gather_depth(config) - 1, config.bus_bits + config.bus_bytes),
    )
    return {each.name: each for each in found if each.name != "write queue" or not config.addresses_ahead}


def accesses(
    config: AcceleratorConfig, tokens: int, channels: int, inner: int, counters: Mapping[str, int], inner_parts: int = 1
) -> dict[str, tuple[float, float]]:
    """Reads and writes of whole words by what a memory holds.

    Args:
        config: the machine.
        tokens, channels, inner: M, N, K of a layer.
        counters: of it, those that need no time.
        inner_parts: jobs that its inputs were cut into.
    """
    token_tiles = -(-tokens // config.array.rows)
    vectors, lanes = counters["weight_vectors"], config.vector_lanes
    assert vectors == token_tiles * channels * inner_tiles(inner, config), "the counters are those of another layer"
    first = token_tiles * channels * inner_parts  # vectors of the first inner tile meet no partial sums
    rows, groups = counters["preload_busy"], counters["vector_busy"]
    scaled = counters["write_back_busy"]
    records = token_tiles * -(-channels // lanes) * inner_parts
    used: dict[str, tuple[float, float]] = {
        # A word is written in parts, a bus word each: together one whole word.
        "activations": (rows, rows),
        "weights": (vectors, counters["decode_busy"] * config.line_slices),
        # The drain reads all banks of its half for each group.
        "sums": (vectors - first + groups * lanes, vectors),
        "channel records": (groups, records),
        "token records": (tokens * -(-channels // config.channels_per_tile), token_tiles * config.array.rows / 4),
        "write queue": (scaled, scaled),
    }
    return {name: used[name] for name in memories_of(config)}
