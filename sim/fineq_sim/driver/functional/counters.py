"""What the functional model counts: all that follows from the work alone, without time."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping

import numpy as np

from fineq.format.temporal import MAX_CYCLES, array_cycles
from fineq_hw.config import AcceleratorConfig, MacConfig
from fineq_hw.interface.descriptors import inner_tiles, line_groups
from fineq_hw.interface.jobs import OutputFormat, result_bytes
from fineq_hw.interface.registers import STAGES
from fineq_sim.reference import memory_image
from fineq_sim.reference.tile_walk import counted_tiles

TIMELESS: frozenset[str] = frozenset({"cycles"} | {f"{stage}_stall" for stage in STAGES})
"""Counters that this model cannot know."""


def read_counters(config: AcceleratorConfig, size: int, rows: int = 1) -> Tally[str]:
    """Of reading `rows` pieces of `size` bytes, each a whole number of bus words."""
    words = rows * -(-size // config.bus_bytes)
    return Tally(memory_access_busy=words, bytes_read=words * config.bus_bytes)


def job_counters(config: AcceleratorConfig, job: Mapping[str, int], weights: np.ndarray) -> Tally[str]:
    """Of a job.

    Args:
        config: the machine.
        job: fields of its descriptor.
        weights: the integers, int8 [N, inner tiles * columns].
    """
    array, channels, tiles = config.array, job["channels"], inner_tiles(job["inner"], config)
    if isinstance(array, MacConfig):
        return work_counters(config, job, channels * tiles)
    by_tile = weights.reshape(channels, tiles, array.columns)
    return work_counters(config, job, array_cycles(by_tile, array.encoding, bool(job["early_termination"])).sum())


def work_counters(config: AcceleratorConfig, job: Mapping[str, int], steps: int) -> Tally[str]:
    """Of a job whose weight vectors take so many steps in all, each once.

    Args:
        config: the machine.
        job: fields of its descriptor.
        steps: of all vectors of the weights.
    """
    array, output = config.array, OutputFormat(job["output_format"])
    tokens, channels = job["tokens"], job["channels"]
    tiles, groups = inner_tiles(job["inner"], config), line_groups(job["inner"], config)
    token_tiles = -(-tokens // array.rows)
    vectors = token_tiles * tiles * channels
    steps = token_tiles * int(steps)
    saved = 0 if isinstance(array, MacConfig) else vectors * MAX_CYCLES[array.encoding] - steps
    total: Tally[str] = Tally(
        weight_vectors=vectors,
        terminated_cycles=saved,
        multiply_busy=steps,
        decode_busy=token_tiles * groups * channels,
    )
    for tile, times in counted_tiles(config, tokens, channels):
        rows, width = times * tile.tokens, tile.channels
        total.update(
            tiles=times * tiles,
            preload_busy=tiles * rows,
            vector_busy=rows * -(-width // config.vector_lanes),
            write_back_busy=rows * -(-width * result_bytes(output) // config.bus_bytes),
            bytes_written=rows * width * result_bytes(output),
        )
        total.update(read_counters(config, config.activation_tile_bytes, tiles * rows))
        total.update(read_counters(config, config.weight_chunk_bytes(width), times * groups))
        if output is not OutputFormat.SUMS:
            total.update(read_counters(config, memory_image.CHANNEL_RECORD.itemsize * width, times))
            total.update(read_counters(config, memory_image.TOKEN_RECORD.itemsize * tile.tokens, times))
    return total
