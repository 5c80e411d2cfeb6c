"""How the array spreads a weight over time, and how long a weight vector takes: the one definition of its pace.

A weight vector is the group of weights that is broadcast to the columns of the array at once. Each of its
weights becomes a stream of pulses (paper Section IV-C); the slowest weight decides when the next vector starts.
The RTL, the cycle model and cycle-aware quantization all use this table.
"""

from __future__ import annotations

from math import lcm

import numpy as np

from fineq.format import BLOCK_WEIGHTS, CLUSTER_WEIGHTS, MAGNITUDE_BITS, MAX_MAGNITUDE, PAIR_CLUSTERS

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

ENCODINGS: tuple[str, ...] = ("unary", "2s-unary", "bitplane", "parallel", "cluster")
"""Known encodings of a magnitude in time, in the order of their numbers in the register map: a new one comes last.

In `cluster` a weight's pulses depend on the two weights that the format stores with it: either all three are at most 1,
or one is zero and leaves its adder input to the high bits of the others. So three adder inputs do in one step what
`parallel` needs six for; only two magnitudes of 3 in one cluster take a second step. Takes only vectors that the format
can store.
"""

MAX_CYCLES: dict[str, int] = {name: max(map(len, pulses)) for name, pulses in PULSES.items()} | {"cluster": 2}
"""Steps of the slowest vector, which every vector takes without early termination."""

STEP_BITS: dict[str, int] = {
    name: max(value for steps in pulses for value in steps).bit_length() for name, pulses in PULSES.items()
} | {"cluster": 2}
"""Bits of the largest value that a weight contributes in one step: 1 where it is one or nothing."""


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
    vectors, whole, left = _line_shape(columns)
    rest = whole * vectors
    return tuple(
        place
        for v in range(vectors)
        for place in (*range(whole * v, whole * (v + 1)), *range(rest + left * v, rest + left * (v + 1)))
    )


def row_vectors(inner_dimension: int, columns: int, encoding: str = "unary") -> int:
    """Weight vectors that a row of K weights takes.

    ceil(K / columns), also for encoding `cluster` with 7, 16, 64 columns and most other numbers. With some (4, 5, 10)
    the clusters at the end of rows of certain lengths need another one.

    Args:
        inner_dimension: K.
        columns: of the array.
        encoding: one of `ENCODINGS`.
    """
    if encoding != "cluster":
        return -(-inner_dimension // columns)
    vectors, _, _ = _line_shape(columns)
    lines, rest = divmod(inner_dimension, vectors * columns)
    return lines * vectors + _rest_vectors(rest, columns)


def row_places(inner_dimension: int, columns: int, encoding: str = "unary") -> np.ndarray:
    """Where in its lines each weight of a row stands, counted from the first line on; int64 [K].

    Weights stand as in the packed file, one behind the other. With encoding `cluster` the end of a row that does not
    fill its last line is an exception: clusters that the last of its vectors has no columns for move to the end of
    the line, whose weights are dealt to the single columns of all vectors (`line_order`). With 64 columns, the
    weights 63 of a row of 64, or 126 and 127 of a row of 128, move to place 189 and on, so that one vector, or two,
    are enough. They move as whole clusters, pairs stay pairs, so that the line can be stored in the format.

    Args:
        inner_dimension: K.
        columns: of the array.
        encoding: one of `ENCODINGS`.
    """
    places = np.arange(inner_dimension)
    if encoding == "cluster":
        vectors, whole, _ = _line_shape(columns)
        rest = inner_dimension % (vectors * columns)
        used = _rest_vectors(rest, columns)
        moved = rest - whole * used
        if moved > 0 and used < vectors:
            places[-moved:] += whole * (vectors - used)
    return places


def input_order(inner_dimension: int, columns: int, encoding: str = "unary") -> np.ndarray:
    """Which input of a row stands in each column of each of its weight vectors; int64 [vectors, columns], -1: none.

    Args:
        inner_dimension: K.
        columns: of the array.
        encoding: one of `ENCODINGS`.
    """
    order = np.array(line_order(columns, encoding))
    vectors = row_vectors(inner_dimension, columns, encoding)
    lines = -(-vectors * columns // len(order))
    inputs = np.full(lines * len(order), -1)
    inputs[row_places(inner_dimension, columns, encoding)] = np.arange(inner_dimension)
    return inputs.reshape(lines, -1)[:, order].reshape(-1, columns)[:vectors]


def _line_shape(columns: int) -> tuple[int, int, int]:
    """Vectors of a line, and columns of a vector that hold whole clusters and that are left over."""
    whole = columns // CLUSTER_WEIGHTS * CLUSTER_WEIGHTS
    return lcm(columns, BLOCK_WEIGHTS) // columns, whole, columns - whole


def _rest_vectors(rest: int, columns: int) -> int:
    """Vectors of encoding `cluster` for the weights at the end of a row that do not fill a line.

    The least number from which the clusters beyond the whole ones can move as `row_places` says: a single one always
    can, more only if they stay the same halves of their pairs.
    """
    vectors, whole, _ = _line_shape(columns)
    for used in range(-(-rest // columns), vectors):
        moved = -(-(rest - whole * used) // CLUSTER_WEIGHTS)
        if moved <= 1 or whole // CLUSTER_WEIGHTS * (vectors - used) % PAIR_CLUSTERS == 0:
            return used
    return vectors if rest else 0
