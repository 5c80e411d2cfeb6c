"""The FineQ block format: 24 weights in 7 bytes (paper Section III-B, Fig. 4 step 5; docs/quantizer/format.md).

This file is the single source of truth for every size of the format. The quantizer, the RTL, the
simulator and the documents import these constants; nothing repeats them.

A *cluster* is three consecutive weights of one channel. Two neighbouring clusters form a *pair* and share
one 2-bit *index code*. Eight clusters (24 weights) form a *block* of one index byte and 48 payload bits.
All fields are stored least significant bit first; all values are sign-magnitude with the sign on top.

`encode_cluster` and `decode_cluster` are the definition, one cluster at a time. `fineq.format.matrix` does the same for
whole matrices, through tables that those two fill.
"""

from __future__ import annotations

from collections.abc import Sequence

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
