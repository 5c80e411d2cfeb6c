"""How the array spreads a weight over time, and how long a weight vector takes: the one definition of its pace.

A weight vector is the group of weights that is broadcast to the columns of the array at once. Each of its
weights becomes a stream of pulses (paper Section IV-C); the slowest weight decides when the next vector starts.
The RTL, the cycle model and cycle-aware quantization all use this table.
"""

from __future__ import annotations

from math import lcm

import numpy as np

from fineq.format import BLOCK_WEIGHTS, CLUSTER_WEIGHTS, MAGNITUDE_BITS, MAX_MAGNITUDE

PULSES: dict[str, tuple[tuple[int, ...], ...]] = {
    "unary": ((), (1,), (1, 1), (1, 1, 1)),
    "2s-unary": ((), (1,), (2,), (2, 1)),
    "bitplane": ((), (1,), (1, 0), (1, 1)),
    "parallel": ((), (1,), (2,), (3,)),
}
"""What a weight of magnitude 0, 1, 2, 3 contributes in each step, by encoding.

* `unary`: the number of ones is the value (the paper's).
* `2s-unary`: a pulse may weigh two.
* `bitplane`: one bit of the magnitude a step, the high one first; the sum so far counts twice in a second step. In
  a vector that has a high bit anywhere, the others wait with their low bit for the second step.
* `parallel`: both bits at once, an adder input for each.
"""

ENCODINGS: tuple[str, ...] = (*PULSES, "cluster")
"""Known encodings of a magnitude in time. In `cluster` a weight's pulses depend on the two weights that the format
stores with it: either all three are at most 1, or one is zero and leaves its adder input to the high bits of the
others. So three adder inputs do in one step what `parallel` needs six for; only two magnitudes of 3 in one cluster
take a second step. Takes only vectors that the format can store.
"""

MAX_CYCLES: dict[str, int] = {name: max(map(len, pulses)) for name, pulses in PULSES.items()} | {"cluster": 2}
"""Steps of the slowest vector, which every vector takes without early termination."""


def vector_cycles(max_magnitude: int, encoding: str = "unary", early_termination: bool = True) -> int:
    """Cycles that the array spends on one weight vector.

    Args:
        max_magnitude: largest magnitude in the vector, 0 to `MAX_MAGNITUDE`.
        encoding: one of `PULSES`. The pace of `cluster` does not follow from the magnitude: see `array_cycles`.
        early_termination: stop when the largest magnitude of the vector has been sent. Otherwise every vector
            takes `MAX_CYCLES`.

    Returns:
        Number of clock cycles, at least 1: a vector of zeros still hands over its partial sums.

    Raises:
        ValueError: the magnitude is outside the format's range or the encoding is unknown.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"unknown encoding {encoding!r}: choose one of {', '.join(ENCODINGS)}")
    if encoding not in PULSES:
        raise ValueError(f"the cycles of encoding {encoding!r} depend on whole clusters: use array_cycles")
    if not 0 <= max_magnitude <= MAX_MAGNITUDE:
        raise ValueError(
            f"magnitude {max_magnitude} does not fit {MAGNITUDE_BITS} bits: it must lie between 0 and {MAX_MAGNITUDE}"
        )
    if not early_termination:
        return MAX_CYCLES[encoding]
    return max(1, len(PULSES[encoding][max_magnitude]))


def array_cycles(codes: np.ndarray, encoding: str = "unary", early_termination: bool = True) -> np.ndarray:
    """Cycles that the array spends on each of many weight vectors.

    Args:
        codes: integer weights, [..., columns], in the order of the columns. With `cluster`, every three columns
            from the first on are a cluster; one or two that are left over stand alone.
        encoding: one of `ENCODINGS`.
        early_termination: see `vector_cycles`.

    Returns:
        int64 [...].

    Raises:
        ValueError: as `vector_cycles`.
    """
    magnitudes = np.abs(np.asarray(codes).astype(np.int64))
    if encoding != "cluster":
        table = [vector_cycles(magnitude, encoding, early_termination) for magnitude in range(MAX_MAGNITUDE + 1)]
        largest = magnitudes.max(axis=-1)
        if largest.size and largest.max() > MAX_MAGNITUDE:
            vector_cycles(int(largest.max()), encoding)
        return np.array(table, dtype=np.int64)[largest]
    if not early_termination:
        return np.full(magnitudes.shape[:-1], MAX_CYCLES[encoding], dtype=np.int64)
    whole = magnitudes.shape[-1] // CLUSTER_WEIGHTS * CLUSTER_WEIGHTS
    clusters = magnitudes[..., :whole].reshape(*magnitudes.shape[:-1], -1, CLUSTER_WEIGHTS)
    twins = (clusters == MAX_MAGNITUDE).sum(axis=-1) > 1
    return 1 + twins.any(axis=-1).astype(np.int64)


def line_order(columns: int, encoding: str = "unary") -> tuple[int, ...]:
    """Which weight of a line of the weight buffer stands in each column of its first vector, its second and so on.

    A line is the least whole number of blocks and of weight vectors. Its weights stand in order, except with encoding
    `cluster`, where a cluster must not be cut: a vector has as many whole clusters as fit its columns, and what is
    left of the line is dealt to the columns that are left. 64 columns: vector v has clusters 21 v to 21 v + 20 and,
    in its last column, weight v of cluster 63.

    Args:
        columns: of the array.
        encoding: one of `ENCODINGS`.
    """
    weights = lcm(columns, BLOCK_WEIGHTS)
    if encoding != "cluster":
        return tuple(range(weights))
    vectors, whole = weights // columns, columns // CLUSTER_WEIGHTS * CLUSTER_WEIGHTS
    left, rest = columns - whole, whole * (weights // columns)
    return tuple(
        place
        for v in range(vectors)
        for place in (*range(whole * v, whole * (v + 1)), *range(rest + left * v, rest + left * (v + 1)))
    )
