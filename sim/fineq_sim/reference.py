"""Plain integer references of the testbenches, written from the specification and not from the RTL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fineq.format import (
    BLOCK_BYTES,
    BLOCK_CLUSTERS,
    BLOCK_WEIGHTS,
    CLUSTER_PAYLOAD_BITS,
    CLUSTER_WEIGHTS,
    INDEX_ALL_NORMAL,
    INDEX_BITS,
    INDEX_BYTES,
    MAGNITUDE_BITS,
    MAX_MAGNITUDE,
    NORMAL_BITS,
    OUTLIER_BITS,
    PAIR_CLUSTERS,
)


def from_sign_magnitude(field: int, bits: int) -> int:
    """Value of a sign-magnitude field, sign on top; minus zero is zero."""
    magnitude = field & ((1 << (bits - 1)) - 1)
    return -magnitude if field >> (bits - 1) else magnitude


def to_weight_field(value: int) -> int:
    """A weight as the decoder hands it on: sign and padded magnitude."""
    if abs(value) > MAX_MAGNITUDE:
        raise ValueError(f"weight {value} lies outside -{MAX_MAGNITUDE}..{MAX_MAGNITUDE}")
    return abs(value) | (int(value < 0) << MAGNITUDE_BITS)


def decode_cluster(code: int, payload: int) -> list[int]:
    """Three weights of one cluster (docs/format.md)."""
    if code == INDEX_ALL_NORMAL:
        fields = [payload >> (NORMAL_BITS * j) & ((1 << NORMAL_BITS) - 1) for j in range(CLUSTER_WEIGHTS)]
        return [from_sign_magnitude(field, NORMAL_BITS) for field in fields]
    fields = [payload >> (OUTLIER_BITS * j) & ((1 << OUTLIER_BITS) - 1) for j in range(CLUSTER_WEIGHTS - 1)]
    weights = [from_sign_magnitude(field, OUTLIER_BITS) for field in fields]
    weights.insert(code - 1, 0)
    return weights


def decode_blocks(packed: bytes) -> list[int]:
    """All weights of whole blocks."""
    weights: list[int] = []
    for start in range(0, len(packed), BLOCK_BYTES):
        block = int.from_bytes(packed[start : start + BLOCK_BYTES], "little")
        indices, payloads = block & ((1 << 8 * INDEX_BYTES) - 1), block >> 8 * INDEX_BYTES
        for cluster in range(BLOCK_CLUSTERS):
            code = indices >> (INDEX_BITS * (cluster // PAIR_CLUSTERS)) & ((1 << INDEX_BITS) - 1)
            payload = payloads >> (CLUSTER_PAYLOAD_BITS * cluster) & ((1 << CLUSTER_PAYLOAD_BITS) - 1)
            weights.extend(decode_cluster(code, payload))
    assert len(weights) == len(packed) // BLOCK_BYTES * BLOCK_WEIGHTS
    return weights


def sums(weights: Sequence[int], rows: Sequence[Sequence[int]], partials: Sequence[int] | None = None) -> list[int]:
    """Sum of one weight vector over every row of activations, on top of the partial sums.

    Args:
        weights: one per column.
        rows: activations, [rows][columns].
        partials: one per row, zero when absent.
    """
    products = np.asarray(rows, dtype=np.int64) @ np.asarray(weights, dtype=np.int64)
    start = np.zeros_like(products) if partials is None else np.asarray(partials, dtype=np.int64)
    return (products + start).tolist()
