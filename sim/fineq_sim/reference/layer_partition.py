"""How a linear layer is cut into tiles of the array: the order in which every driver here feeds a core.

A layer of M tokens, K inputs and N outputs becomes ceil(M / rows) tiles by as many as a row of K weights has
vectors. A tile keeps up to `rows` tokens and `columns` inputs in the array and meets one weight vector per output
channel. Tiles of the same tokens follow each other along K; all but the first start from the sums of the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fineq.format import pack, unpack
from fineq.format.temporal import input_order, row_places, row_vectors
from fineq_hw.config import ArrayConfig, MacConfig


@dataclass(frozen=True)
class LayerTile:
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
    """Tiles along K: the weight vectors of a row."""
    return row_vectors(inner_dimension, config.columns, _encoding(config))


def tile_inputs(values: np.ndarray, k: int, config: ArrayConfig | MacConfig) -> np.ndarray:
    """What stands in the columns of the array in tile `k` along K.

    Args:
        values: anything that has one entry per input along its last axis, [..., K].
        k: position along the inner dimension, as in `LayerTile`.
        config: the array; `fineq.format.temporal.input_order` says which input belongs to which column.

    Returns:
        [..., columns], zero where there is no input.
    """
    order = _input_order(values.shape[-1], config.columns, _encoding(config))[k]
    return np.where(order < 0, 0, values[..., order]).astype(values.dtype)


def weight_lines(blocks: np.ndarray, inner_dimension: int, config: ArrayConfig) -> np.ndarray:
    """The lines of the weight buffer that hold packed rows, uint8 [N, lines, line_bytes].

    The blocks as they are, behind them zeros; with encoding `cluster` the last line may have its last clusters in
    other places (`fineq.format.temporal.row_places`).

    Args:
        blocks: packed rows, uint8 [N, 7 * ceil(K / 24)].
        inner_dimension: K.
        config: the array.
    """
    count = -(-inner_tiles(inner_dimension, config) // config.line_slices)
    lines: np.ndarray = np.zeros((len(blocks), count * config.line_bytes), dtype=np.uint8)
    lines[:, : blocks.shape[1]] = blocks
    lines = lines.reshape(len(blocks), count, config.line_bytes)
    places = row_places(inner_dimension, config.columns, config.encoding)
    if (np.diff(places) != 1).any():
        start = (count - 1) * config.line_weights
        codes = np.zeros((len(blocks), config.line_weights), dtype=np.int8)
        in_order = unpack(lines[:, -1], config.line_weights, strict=False)
        codes[:, places[start:] - start] = in_order[:, : inner_dimension - start]
        lines[:, -1] = pack(codes)
    return lines


def _encoding(config: ArrayConfig | MacConfig) -> str:
    """A MAC array takes its weights in order, as most encodings do."""
    return "unary" if isinstance(config, MacConfig) else config.encoding


_input_order = lru_cache(maxsize=64)(input_order)


def tiles(tokens: int, inner_dimension: int, config: ArrayConfig | MacConfig) -> Iterator[LayerTile]:
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
            yield LayerTile(first_row, min(config.rows, tokens - first_row), k, k > 0, k == count - 1)
