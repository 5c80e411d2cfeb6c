"""How a linear layer is cut into tiles of the array: the order in which every driver here feeds a core.

A layer of M tokens, K inputs and N outputs becomes ceil(M / rows) x ceil(K / columns) tiles. A tile keeps up to
`rows` tokens and `columns` inputs in the array and meets one weight vector per output channel. Tiles of the
same tokens follow each other along K; all but the first start from the sums of the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fineq_hw.config import ArrayConfig, MacConfig


@dataclass(frozen=True)
class Tile:
    """One filling of the array.

    Attributes:
        first_row: first token.
        rows: tokens held.
        k: position along the inner dimension, in units of the array's columns.
        accumulate: the sums start from those of the tile before.
        final: the sums are results of the layer.
    """

    first_row: int
    rows: int
    k: int
    accumulate: bool
    final: bool


def inner_tiles(inner_dimension: int, config: ArrayConfig | MacConfig) -> int:
    """Tiles along K: those that hold at least one input."""
    if isinstance(config, MacConfig):
        return -(-inner_dimension // config.columns)
    lines, rest = divmod(inner_dimension, config.line_weights)
    starts = config.line_order[:: config.columns]
    return lines * config.line_slices + sum(start < rest for start in starts)


def tile_inputs(values: np.ndarray, k: int, config: ArrayConfig | MacConfig) -> np.ndarray:
    """What stands in the columns of the array in tile `k` along K.

    Args:
        values: anything that has one entry per input along its last axis, [..., K].
        k: position along the inner dimension, as in `Tile`.
        config: the array; `ArrayConfig.line_order` says which input belongs to which column.

    Returns:
        [..., columns], zero where there is no input.
    """
    places = k * config.columns + np.arange(config.columns)
    if isinstance(config, ArrayConfig):
        line, number = divmod(k, config.line_slices)
        order = np.array(config.line_order[number * config.columns :][: config.columns])
        places = line * config.line_weights + order
    inside = places < values.shape[-1]
    result = np.zeros((*values.shape[:-1], config.columns), dtype=values.dtype)
    result[..., inside] = values[..., places[inside]]
    return result


def tiles(tokens: int, inner_dimension: int, config: ArrayConfig | MacConfig) -> Iterator[Tile]:
    """All tiles of a layer, in the order of execution.

    Raises:
        ValueError: an empty layer, or an inner dimension whose sums can overflow the accumulators.
    """
    if tokens < 1 or inner_dimension < 1:
        raise ValueError(f"a layer of {tokens} tokens and {inner_dimension} inputs has nothing to compute")
    if inner_dimension > config.max_inner_dimension:
        raise ValueError(
            f"the inner dimension {inner_dimension} can overflow {config.accumulator_bits}-bit partial sums: "
            f"use at most {config.max_inner_dimension}, or a wider accumulator"
        )
    count = inner_tiles(inner_dimension, config)
    for first_row in range(0, tokens, config.rows):
        for k in range(count):
            yield Tile(first_row, min(config.rows, tokens - first_row), k, k > 0, k == count - 1)
