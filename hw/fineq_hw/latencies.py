"""Cycle counts of the cores without stalls: the only place where pipeline latencies stand.

Cycles are counted from a handshake: a beat accepted in cycle t has valid and ready high in cycle t. The
documents, the cycle model and the testbenches take every latency from here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fineq.format.temporal import array_cycles
from fineq_hw.config import ArrayConfig, MacConfig

PULSE_LATENCY = 1
"""Cycles from accepting a weight vector to its first pulse: the encoders' value registers."""

RESULT_LATENCY = 1
"""Cycles from a vector's last pulse to its result: the accumulators."""


VECTOR_LANE_LATENCY = 17
"""Cycles from a sum entering a lane of the vector unit to its result; one sum a cycle."""

VECTOR_UNIT_LATENCY = VECTOR_LANE_LATENCY + 1
"""Cycles from accepting a group of sums to the bus word that it completes: the lanes and the word register."""


def weight_cycles(
    config: ArrayConfig | MacConfig, vectors: Sequence[Sequence[int]], early_termination: bool = True
) -> list[int]:
    """Pulse steps of each weight vector, for every encoding; a MAC array always spends one.

    Args:
        config: the array.
        vectors: weights in the order of the columns, [vectors][columns].
        early_termination: as the port of the core.
    """
    if isinstance(config, MacConfig):
        return [1] * len(vectors)
    return array_cycles(np.asarray(vectors), config.encoding, early_termination).tolist()


def mac_array_latency(config: MacConfig) -> int:
    """Cycles from accepting a weight vector to aligned sums of all rows of the MAC array.

    One to register the vector, one per register of the partial sum on its way right, and with a systolic
    weight path one per further row for the weights on their way down.
    """
    return 1 + config.stages + (config.rows - 1 if config.weight_path == "systolic" else 0)


def result_latency(config: ArrayConfig | MacConfig, cycles: int = 1) -> int:
    """Cycles from accepting a weight vector to its result being valid.

    Args:
        config: the array.
        cycles: pulse steps of the vector (see `weight_cycles`); a MAC array always spends one.
    """
    if isinstance(config, MacConfig):
        return mac_array_latency(config) + 1  # the row accumulators
    return PULSE_LATENCY + (cycles - 1) + RESULT_LATENCY


def tile_cycles(config: ArrayConfig | MacConfig, loaded_rows: int, cycles: Sequence[int]) -> int:
    """Cycles from the first activation row of a tile to the first activation row of the next one.

    Args:
        config: the array.
        loaded_rows: activation rows preloaded, one per cycle.
        cycles: pulse steps of each weight vector, in order (all 1 for a MAC array); not empty.
    """
    if not cycles:
        raise ValueError("a tile needs at least one weight vector: its last one releases the activations")
    if isinstance(config, MacConfig):
        # The activations stay until the last vector has left the last processing element.
        return loaded_rows + len(cycles) + mac_array_latency(config) - 1
    return loaded_rows + PULSE_LATENCY + sum(cycles)
