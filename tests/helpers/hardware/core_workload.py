"""Random tiles and weight vectors for the cores, as beats of their streams and as arrays, and the sums they give."""

from __future__ import annotations

import numpy as np
from helpers.hardware.stream_bench import reference_sums

from fineq_hw.config import ArrayConfig


def label(config) -> str:
    return "-".join(str(value) for value in vars(config).values())


def make_storable(weights: np.ndarray, random: np.random.Generator) -> None:
    """Zero one weight of each whole cluster that has one above 1, in place: what the format can store."""
    for cluster in range(weights.shape[1] // 3):
        part = weights[:, 3 * cluster : 3 * cluster + 3]
        large = np.abs(part).max(axis=1) > 1
        part[large, random.integers(0, 3, large.sum())] = 0


class Workload:
    """Two tiles of random activations and weight vectors, the second tile on fewer rows, as beats and as arrays."""

    def __init__(self, config, seed: int = 1, vectors: int = 12) -> None:
        random = np.random.default_rng(seed)
        self.config = config
        high = config.max_activation_magnitude if isinstance(config, ArrayConfig) else 1 << config.activation_bits - 1
        twos_complement = config.signed_weights
        limit = -config.weight_limits[0]
        self.beats: dict[str, list] = {"activations": [], "weights": [], "partials": []}
        self.expected: list[tuple[np.ndarray, int, int]] = []
        self.weights: list[np.ndarray] = []
        self.rows = [config.rows, max(1, config.rows - 1)]
        for rows in self.rows:
            tile = random.integers(-high, high, (rows, config.columns))
            tile[0, 0] = -high
            for number, row in enumerate(tile):
                ended = number == rows - 1 and (rows < config.rows or random.random() < 0.5)
                self.beats["activations"].append({"values": row.tolist(), "last": int(ended)})
            largest = random.integers(0, limit + 1, (vectors, 1))
            weights = random.integers(-largest, largest + 1, (vectors, config.columns)).clip(
                -limit, limit - twos_complement
            )
            weights[0] = limit - twos_complement
            weights[1] = -limit
            if getattr(config, "encoding", "") == "cluster":
                make_storable(weights, random)
            room = (1 << config.accumulator_bits - 1) - 1 - config.columns * high * limit
            for number, vector in enumerate(weights):
                accumulate, last = int(random.random() < 0.5), int(number == vectors - 1)
                values = vector.tolist()
                if not twos_complement:
                    values = [{"magnitude": abs(w), "sign": int(w < 0 or (w == 0 and number % 2))} for w in values]
                self.beats["weights"].append({"values": values, "accumulate": accumulate, "last": last})
                sums = reference_sums(tile, vector)
                if accumulate:
                    partial = random.integers(-room, room + 1, config.rows)
                    self.beats["partials"].append(partial.tolist())
                    sums = sums + partial[:rows]
                self.expected.append((sums, last, rows))
            self.weights.append(weights)

    def check(self, results) -> None:
        assert len(results) == len(self.expected)
        for (sums, last), (expected, expected_last, rows) in zip(results, self.expected, strict=True):
            assert sums[:rows] == expected.tolist()
            assert last == expected_last
