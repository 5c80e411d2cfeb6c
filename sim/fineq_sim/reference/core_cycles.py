"""Cycle-level model of the cores: how long a linear layer takes, from its actual weights.

No circuit is simulated. The pace of every weight vector follows from its weights
(`fineq.format.temporal.array_cycles`), the rest from the latencies in `fineq_hw.latencies`. The testbenches check that
the RTL takes exactly as many cycles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fineq.format import MAX_MAGNITUDE
from fineq.format.temporal import array_cycles
from fineq_hw.config import ArrayConfig, MacConfig
from fineq_hw.latencies import result_latency, tile_cycles
from fineq_sim.reference.layer_partition import inner_tiles, tile_inputs, tiles


@dataclass(frozen=True)
class LayerCycles:
    """Cycles of one layer when no stream ever waits.

    Attributes:
        total: from the first activation row accepted to the last result taken, both included.
        computing: cycles in which the array executes a step.
        preload: cycles that take activation rows.
        vectors: weight vectors worked off.
        products: products of the layer, M x N x K, without padding.
        array_products: products that the array could form in `total` cycles at one per element and cycle.
    """

    total: int
    computing: int
    preload: int
    vectors: int
    products: int
    array_products: int

    @property
    def cycles_per_vector(self) -> float:
        """Average steps of a weight vector: the figure behind the paper's energy efficiency."""
        return self.computing / self.vectors

    @property
    def utilisation(self) -> float:
        """Share of the cycles in which the array computes."""
        return self.computing / self.total

    @property
    def products_per_element_and_cycle(self) -> float:
        """Throughput beside that of a multiplier in every element that never waits."""
        return self.products / self.array_products


def vector_maxima(codes: np.ndarray, columns: int) -> np.ndarray:
    """Largest magnitude of each weight vector.

    Args:
        codes: int8 [N, K].
        columns: of the array.

    Returns:
        int [tiles along K, N].
    """
    channels, inner = codes.shape
    count = -(-inner // columns)
    padded = np.zeros((channels, count * columns), dtype=np.int16)
    padded[:, :inner] = np.abs(codes.astype(np.int16))
    return padded.reshape(channels, count, columns).max(axis=2).T


def weight_vectors(codes: np.ndarray, config: ArrayConfig) -> np.ndarray:
    """The weight vectors of a layer, [tiles along K, N, columns], in the order of the array's columns.

    Args:
        codes: integer weights, [N, K].
        config: the array; `fineq.format.temporal.input_order` says which weight stands in which column.
    """
    count = inner_tiles(codes.shape[1], config)
    return np.stack([tile_inputs(codes, k, config) for k in range(count)])


def layer_cycles(
    codes: np.ndarray, tokens: int, config: ArrayConfig | MacConfig, early_termination: bool = True
) -> LayerCycles:
    """Predict the cycles of a linear layer.

    Args:
        codes: integer weights, [N, K].
        tokens: M.
        config: the array; the order of the tiles is that of `fineq_sim.reference.layer_partition`.
        early_termination: as the port of the core. A MAC array takes no notice of it.

    Raises:
        ValueError: an empty layer, weights out of range, sums that can overflow.
    """
    codes = np.asarray(codes)
    if codes.ndim != 2 or not codes.size:
        raise ValueError(f"codes have shape {list(codes.shape)}: they must be [outputs, inputs], not empty")
    channels, inner = codes.shape
    if isinstance(config, MacConfig):
        steps = [[1] * channels] * inner_tiles(inner, config)
    else:
        if np.abs(codes.astype(np.int16)).max() > MAX_MAGNITUDE:
            raise ValueError(f"codes must lie between -{MAX_MAGNITUDE} and {MAX_MAGNITUDE}")
        steps = array_cycles(weight_vectors(codes, config), config.encoding, early_termination).tolist()

    plan = list(tiles(tokens, inner, config))
    total = sum(tile_cycles(config, tile.rows, steps[tile.k]) for tile in plan[:-1])
    # The last tile ends with its last result and not with a further preload.
    end, final_steps = plan[-1], steps[plan[-1].k]
    total += end.rows + sum(final_steps[:-1]) + result_latency(config, final_steps[-1]) + 1
    return LayerCycles(
        total=total,
        computing=sum(sum(steps[tile.k]) for tile in plan),
        preload=sum(tile.rows for tile in plan),
        vectors=len(plan) * channels,
        products=tokens * channels * inner,
        array_products=total * config.rows * config.columns,
    )
