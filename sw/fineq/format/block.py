"""The FineQ block format: 24 weights in 7 bytes (paper Section III-B, Fig. 4 step 5; docs/format.md).

This file is the single source of truth for every size of the format. The quantizer, the RTL, the
simulator and the documents import these constants; nothing repeats them.

A *cluster* is three consecutive weights of one channel. Two neighbouring clusters form a *pair* and share
one 2-bit *index code*. Eight clusters (24 weights) form a *block* of one index byte and 48 payload bits.
All fields are stored least significant bit first; all values are sign-magnitude with the sign on top.

`encode_cluster` and `decode_cluster` are the definition, one cluster at a time. `pack` and `unpack` do the
same for whole matrices through tables that those two fill. This file needs numpy only, so that hardware
tools can import it without loading torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from fineq.common.errors import FineqError

CLUSTER_WEIGHTS = 3
"""Weights in a cluster (paper: 'every three weights')."""

PAIR_CLUSTERS = 2
"""Neighbouring clusters that share one index code."""

INDEX_BITS = 2
"""Bits of an index code."""

NORMAL_BITS = 2
"""Bits of a weight in a cluster without outliers: values -1, 0, 1."""

OUTLIER_BITS = 3
"""Bits of a surviving weight in a cluster with outliers: values -3..3."""

CLUSTER_PAYLOAD_BITS = CLUSTER_WEIGHTS * NORMAL_BITS
"""Payload bits of a cluster, whichever its code: 3 x 2 or 2 x 3."""

BLOCK_PAIRS = 4
"""Index codes in the index byte of a block."""

BLOCK_CLUSTERS = BLOCK_PAIRS * PAIR_CLUSTERS
BLOCK_WEIGHTS = BLOCK_CLUSTERS * CLUSTER_WEIGHTS
INDEX_BYTES = BLOCK_PAIRS * INDEX_BITS // 8
PAYLOAD_BYTES = BLOCK_CLUSTERS * CLUSTER_PAYLOAD_BITS // 8
BLOCK_BYTES = INDEX_BYTES + PAYLOAD_BYTES

MAX_NORMAL = 2 ** (NORMAL_BITS - 1) - 1
"""Largest magnitude of a 2-bit weight."""

MAX_MAGNITUDE = 2 ** (OUTLIER_BITS - 1) - 1
"""Largest magnitude of any weight; also the longest temporal code in cycles."""

MAGNITUDE_BITS = OUTLIER_BITS - 1
"""Magnitude bits of a decoded (padded) weight."""

INDEX_ALL_NORMAL = 0
"""Index code '00': all three weights have 2 bits. Codes 1, 2, 3: weight 0, 1, 2 is zero, the others
3 bits."""

INDEX_CODES = 2**INDEX_BITS
"""Number of index codes."""

PAIR_WEIGHTS = PAIR_CLUSTERS * CLUSTER_WEIGHTS
"""Weights that share one index code."""

_PAYLOADS = 2**CLUSTER_PAYLOAD_BITS
_LEVELS = 2 * MAX_MAGNITUDE + 1
_NOT_REPRESENTABLE = 0xFF


# -- sizes ----------------------------------------------------------------------------------------------------


def blocks_per_row(inner_dimension: int) -> int:
    """Blocks that hold one row of `inner_dimension` weights; the last one is padded with zeros."""
    if inner_dimension < 1:
        raise FineqError(f"a row of {inner_dimension} weights cannot be packed: it must have at least one")
    return -(-inner_dimension // BLOCK_WEIGHTS)


def bytes_per_row(inner_dimension: int) -> int:
    """Bytes of one packed row of `inner_dimension` weights, without its scale."""
    return blocks_per_row(inner_dimension) * BLOCK_BYTES


def pairs_per_row(inner_dimension: int) -> int:
    """Index codes of one row, those of pairs that hold nothing but padding left out."""
    return -(-inner_dimension // PAIR_WEIGHTS)


def bits_per_weight(shape: tuple[int, int], include_scales: bool = True, scale_bits: int = 32) -> float:
    """True storage cost of a packed matrix, padding included, in bits per weight.

    Args:
        shape: (rows, inner dimension).
        include_scales: count one scale per row.
        scale_bits: bits of a scale (float32).
    """
    rows, inner_dimension = shape
    if rows < 1:
        raise FineqError(f"a matrix of {rows} rows has no bits per weight: it must have at least one row")
    return (8 * bytes_per_row(inner_dimension) + include_scales * scale_bits) / inner_dimension


# -- the definition: one cluster -------------------------------------------------------------------------------


def encode_cluster(index_code: int, weights: Sequence[int]) -> int | None:
    """The 6 payload bits of one cluster.

    Args:
        index_code: 0 (all 2 bits) or 1, 2, 3 (weight 0, 1, 2 is zero and not stored, the others 3 bits).
        weights: three integers.

    Returns:
        The payload, or None when these weights do not fit this index code.
    """
    if index_code == INDEX_ALL_NORMAL:
        stored, bits = list(weights), NORMAL_BITS
    else:
        if weights[index_code - 1] != 0:
            return None
        stored, bits = [w for j, w in enumerate(weights) if j != index_code - 1], OUTLIER_BITS
    sign_bit = 1 << (bits - 1)
    payload = 0
    for position, weight in enumerate(stored):
        if abs(weight) >= sign_bit:
            return None
        field = abs(weight) | (sign_bit if weight < 0 else 0)
        payload |= field << (position * bits)
    return payload


def decode_cluster(index_code: int, payload: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Three weights from the 6 payload bits of one cluster (paper Fig. 6).

    Args:
        index_code: 0 to 3.
        payload: 0 to 63.

    Returns:
        The weights, and the positions among them that were stored as minus zero (and read as 0).
    """
    if index_code == INDEX_ALL_NORMAL:
        places, bits = list(range(CLUSTER_WEIGHTS)), NORMAL_BITS
    else:
        places, bits = [j for j in range(CLUSTER_WEIGHTS) if j != index_code - 1], OUTLIER_BITS
    sign_bit = 1 << (bits - 1)
    weights, minus_zeros = [0] * CLUSTER_WEIGHTS, []
    for position, place in enumerate(places):
        field = (payload >> (position * bits)) & ((1 << bits) - 1)
        magnitude, negative = field & (sign_bit - 1), bool(field & sign_bit)
        weights[place] = -magnitude if negative else magnitude
        if negative and magnitude == 0:
            minus_zeros.append(place)
    return tuple(weights), tuple(minus_zeros)


# -- whole matrices --------------------------------------------------------------------------------------------


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
    return sum(shifted[:, :, j] * np.uint16(_LEVELS**j) for j in range(CLUSTER_WEIGHTS))


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
