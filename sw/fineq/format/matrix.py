"""Whole matrices of integer weights in the block format: `pack`, `unpack`, and the tables that they use.

The tables come from `encode_cluster` and `decode_cluster`, which define the format. Numpy alone is needed, so that
hardware tools can import this without loading torch.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from fineq.common.errors import FineqError
from fineq.format.block import (
    BLOCK_BYTES,
    BLOCK_CLUSTERS,
    BLOCK_PAIRS,
    BLOCK_WEIGHTS,
    CLUSTER_PAYLOAD_BITS,
    CLUSTER_WEIGHTS,
    INDEX_BITS,
    INDEX_BYTES,
    INDEX_CODES,
    MAX_MAGNITUDE,
    MAX_NORMAL,
    PAIR_CLUSTERS,
    PAIR_WEIGHTS,
    blocks_per_row,
    bytes_per_row,
    decode_cluster,
    encode_cluster,
    pairs_per_row,
)

_PAYLOADS = 2**CLUSTER_PAYLOAD_BITS
_LEVELS = 2 * MAX_MAGNITUDE + 1
_NOT_REPRESENTABLE = 0xFF


def pack(codes: np.ndarray, index: np.ndarray | None = None) -> np.ndarray:
    """Pack integer weights into blocks.

    Args:
        codes: integers in -3..3, shape [rows, K].
        index: index codes 0..3, one per pair, shape [rows, ceil(K/6)]. None: the smallest code that fits.

    Returns:
        Blocks, uint8, shape [rows, 7*ceil(K/24)].

    Raises:
        FineqError: wrong shape or type, a value out of range, or weights that do not fit their index code.
    """
    codes = _integer_matrix(codes, "codes", -MAX_MAGNITUDE, MAX_MAGNITUDE)
    rows, inner_dimension = codes.shape
    blocks = blocks_per_row(inner_dimension)
    if index is None:
        index = smallest_index(codes)
    index = _integer_matrix(index, "index", 0, INDEX_CODES - 1)
    if index.shape != (rows, pairs_per_row(inner_dimension)):
        raise FineqError(
            f"index has shape {list(index.shape)}: codes of shape {[rows, inner_dimension]} need one index code "
            f"per {PAIR_WEIGHTS} weights, shape {[rows, pairs_per_row(inner_dimension)]}"
        )
    index = _pad_columns(index, blocks * BLOCK_PAIRS)
    payload = encode_table()[np.repeat(index, PAIR_CLUSTERS, axis=1), _cluster_numbers(codes, blocks * BLOCK_CLUSTERS)]
    if (payload == _NOT_REPRESENTABLE).any():
        row, cluster = np.argwhere(payload == _NOT_REPRESENTABLE)[0].tolist()
        first = cluster * CLUSTER_WEIGHTS
        raise FineqError(
            f"row {row}, weights {first} to {first + CLUSTER_WEIGHTS - 1} are "
            f"{codes[row, first : first + CLUSTER_WEIGHTS].tolist()}: "
            f"they do not fit index code {int(index[row, cluster // PAIR_CLUSTERS])}"
        )
    words = _join_fields(payload.reshape(rows, blocks, BLOCK_CLUSTERS), CLUSTER_PAYLOAD_BITS)
    words <<= np.uint64(8 * INDEX_BYTES)
    words |= _join_fields(index.reshape(rows, blocks, BLOCK_PAIRS), INDEX_BITS)
    as_bytes = np.ascontiguousarray(words).astype("<u8").view(np.uint8).reshape(rows, blocks, 8)
    return np.ascontiguousarray(as_bytes[:, :, :BLOCK_BYTES]).reshape(rows, blocks * BLOCK_BYTES)


def unpack(blocks: np.ndarray, inner_dimension: int, strict: bool = True) -> np.ndarray:
    """Integer weights from blocks.

    Args:
        blocks: uint8, shape [rows, 7*ceil(K/24)].
        inner_dimension: K.
        strict: reject minus zero and padding that is not zero. Otherwise both are dropped, as hardware does.

    Returns:
        Weights in -3..3, int8, shape [rows, K].

    Raises:
        FineqError: blocks of the wrong type or length; in strict mode, the first offending weight.
    """
    index, payload = _split_blocks(blocks, inner_dimension)
    rows = index.shape[0]
    number = np.repeat(index, PAIR_CLUSTERS, axis=1).astype(np.uint16) * np.uint16(_PAYLOADS) + payload
    weights, minus_zero = decode_tables()
    codes = weights[number].reshape(rows, -1)
    if strict:
        _reject(minus_zero[number].reshape(rows, -1), 0, "is minus zero, which this format never stores")
        _reject(codes[:, inner_dimension:] != 0, inner_dimension, f"is not zero, yet the row ends at {inner_dimension}")
    return np.ascontiguousarray(codes[:, :inner_dimension])


def unpack_index(blocks: np.ndarray, inner_dimension: int) -> np.ndarray:
    """Index codes of the blocks, uint8, shape [rows, ceil(K/6)]."""
    index, _ = _split_blocks(blocks, inner_dimension)
    return np.ascontiguousarray(index[:, : pairs_per_row(inner_dimension)])


def smallest_index(codes: np.ndarray) -> np.ndarray:
    """For each pair the smallest index code that can hold its weights, uint8, shape [rows, ceil(K/6)].

    Raises:
        FineqError: a pair fits no index code.
    """
    codes = _integer_matrix(codes, "codes", -MAX_MAGNITUDE, MAX_MAGNITUDE)
    pairs = pairs_per_row(codes.shape[1])
    numbers = _cluster_numbers(codes, pairs * PAIR_CLUSTERS).reshape(codes.shape[0], pairs, PAIR_CLUSTERS)
    fits = (encode_table()[:, numbers] != _NOT_REPRESENTABLE).all(axis=-1)
    if not fits.any(axis=0).all():
        row, pair = np.argwhere(~fits.any(axis=0))[0].tolist()
        first = pair * PAIR_WEIGHTS
        raise FineqError(
            f"row {row}, weights {first} to {first + PAIR_WEIGHTS - 1} fit no index code: a pair of clusters needs "
            f"magnitudes up to {MAX_NORMAL}, or a zero at the same position of both"
        )
    return fits.argmax(axis=0).astype(np.uint8)


# -- helpers ---------------------------------------------------------------------------------------------------


@cache
def encode_table() -> np.ndarray:
    """Payload by [index code, cluster number], `_NOT_REPRESENTABLE` where the weights do not fit the code."""
    table = np.full((INDEX_CODES, _LEVELS**CLUSTER_WEIGHTS), _NOT_REPRESENTABLE, np.uint8)
    for code in range(INDEX_CODES):
        for number in range(table.shape[1]):
            weights = [number // _LEVELS**j % _LEVELS - MAX_MAGNITUDE for j in range(CLUSTER_WEIGHTS)]
            payload = encode_cluster(code, weights)
            if payload is not None:
                table[code, number] = payload
    return table


@cache
def decode_tables() -> tuple[np.ndarray, np.ndarray]:
    """Weights (int8) and minus zeros (bool), both by [64 * index code + payload, position]."""
    weights = np.zeros((INDEX_CODES * _PAYLOADS, CLUSTER_WEIGHTS), np.int8)
    minus_zero = np.zeros(weights.shape, bool)
    for number in range(len(weights)):
        decoded, minus_zeros = decode_cluster(*divmod(number, _PAYLOADS))
        weights[number] = decoded
        minus_zero[number, list(minus_zeros)] = True
    return weights, minus_zero


def _cluster_numbers(codes: np.ndarray, clusters: int) -> np.ndarray:
    """One number per cluster that stands for its three weights, uint16, shape [rows, clusters]."""
    shifted = (_pad_columns(codes, clusters * CLUSTER_WEIGHTS) + np.int8(MAX_MAGNITUDE)).astype(np.uint16)
    shifted = shifted.reshape(codes.shape[0], clusters, CLUSTER_WEIGHTS)
    digits = (shifted[:, :, j] * np.uint16(_LEVELS**j) for j in range(CLUSTER_WEIGHTS))
    return sum(digits, np.zeros((), np.uint16))


def _join_fields(fields: np.ndarray, bits: int) -> np.ndarray:
    """Join the fields of the last axis into one uint64, the first field lowest."""
    words = np.zeros(fields.shape[:-1], np.uint64)
    for position in range(fields.shape[-1]):
        words |= fields[..., position].astype(np.uint64) << np.uint64(position * bits)
    return words


def _split_blocks(blocks: np.ndarray, inner_dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Index codes [rows, 4 a block] and cluster payloads [rows, 8 a block], uint8, padding included."""
    blocks = np.asarray(blocks)
    if blocks.dtype != np.uint8 or blocks.ndim != 2:
        raise FineqError(
            f"blocks are {blocks.dtype} of shape {list(blocks.shape)}: they must be uint8 of shape [rows, bytes]"
        )
    expected = bytes_per_row(inner_dimension)
    if blocks.shape[1] != expected:
        problem = "truncated" if blocks.shape[1] < expected else "too long"
        raise FineqError(
            f"blocks are {problem}: {inner_dimension} weights a row take {expected} bytes, got {blocks.shape[1]}"
        )
    by_block = blocks.reshape(blocks.shape[0], -1, BLOCK_BYTES)
    words = _join_fields(by_block, 8)

    def fields(start: int, count: int, bits: int) -> np.ndarray:
        shifts = np.uint64(start) + np.arange(count, dtype=np.uint64) * np.uint64(bits)
        return ((words[:, :, None] >> shifts) & np.uint64((1 << bits) - 1)).astype(np.uint8).reshape(len(blocks), -1)

    return fields(0, BLOCK_PAIRS, INDEX_BITS), fields(8 * INDEX_BYTES, BLOCK_CLUSTERS, CLUSTER_PAYLOAD_BITS)


def _reject(offending: np.ndarray, first_column: int, why: str) -> None:
    if offending.any():
        row, column = np.argwhere(offending)[0].tolist()
        block, weight = divmod(column + first_column, BLOCK_WEIGHTS)
        raise FineqError(
            f"row {row}, block {block}, weight {weight} {why}: the data is damaged, or decode it with strict=False"
        )


def _integer_matrix(values: np.ndarray, name: str, low: int, high: int) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise FineqError(
            f"{name} are {values.dtype} of shape {list(values.shape)}: they must be integers of two dimensions"
        )
    if values.size and (values.min() < low or values.max() > high):
        row, column = np.argwhere((values < low) | (values > high))[0].tolist()
        raise FineqError(f"{name}[{row}, {column}] is {values[row, column]}: it must lie between {low} and {high}")
    return values.astype(np.int8, copy=False)


def _pad_columns(values: np.ndarray, columns: int) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, columns - values.shape[1])))
