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
    MAX_NORMAL,
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
    """Three weights of one cluster (docs/quantizer/format.md)."""
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


def make_storable(vector: Sequence[int], places: Sequence[int], zeroed: Sequence[int]) -> list[int]:
    """Set weights to zero until the format can hold a vector.

    Args:
        vector: weights.
        places: where each of them stands among the weights of a line; the first three of a line are a cluster, and
            the first two clusters share their code.
        zeroed: for every pair of clusters, which weight of a cluster (0 to 2) to give up if one is above 1.
    """
    pair_weights = CLUSTER_WEIGHTS * PAIR_CLUSTERS
    above = {place // pair_weights for weight, place in zip(vector, places, strict=True) if abs(weight) > MAX_NORMAL}
    return [
        0 if place // pair_weights in above and place % CLUSTER_WEIGHTS == zeroed[place // pair_weights] else weight
        for weight, place in zip(vector, places, strict=True)
    ]


def carried(encoding: str) -> int:
    """How often the sum so far counts in the next step of a vector."""
    return 2 if encoding == "bitplane" else 1


def partial_step(encoding: str, steps: int) -> int:
    """Number of the step, of `steps`, in which a vector takes its partial sums: what is doubled takes them last."""
    return steps - 1 if carried(encoding) > 1 else 0


def step_values(weight: int, encoding: str, steps: int) -> list[int]:
    """What a weight adds in each step of a vector that takes `steps` of them, as a multiple of the activation.

    Written from the definition of the encodings; not for `cluster`, where it depends on the neighbours.
    """
    magnitude, sign = abs(weight), -1 if weight < 0 else 1
    if encoding == "unary":
        values = [int(step < magnitude) for step in range(steps)]
    elif encoding == "2s-unary":
        values = [min(magnitude, 2), magnitude - min(magnitude, 2)][:steps]
    elif encoding == "bitplane":
        values = [magnitude >> (steps - 1 - step) & 1 for step in range(steps)]
    else:
        values = [magnitude]
    return [sign * value for value in values]
