"""The cores against numpy: random data and pauses, early termination, cycle counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stream_bench import StreamBench, reference_sums

from fineq.format import BLOCK_BYTES, MAX_MAGNITUDE
from fineq_hw.array.core import PackedCore, TemporalCore
from fineq_hw.baseline.mac_core import MacCore
from fineq_hw.config import ArrayConfig, MacConfig
from fineq_hw.latencies import result_latency, tile_cycles, weight_cycles

ARRAYS = [
    ArrayConfig(rows=rows, columns=columns, sign_handling=sign, adder_tree=tree, **widths)
    for rows, columns, widths in ((3, 5, {}), (1, 1, {}), (2, 3, {"activation_bits": 2, "accumulator_bits": 7}))
    for sign in ("row", "column")
    for tree in ("structural", "behavioural")
]
ARRAYS += [
    ArrayConfig(rows=3, columns=columns, sign_handling=sign, encoding=encoding, adder_tree=tree)
    for columns in (5, 1)
    for encoding, sign in (
        ("bitplane", "row"),
        ("bitplane", "column"),
        ("2s-unary", "column"),
        ("parallel", "column"),
        ("cluster", "column"),
    )
    for tree in ("structural", "behavioural")[: 1 + (columns == 5)]
]
ARRAYS += [replace(config, activation_storage="latch") for config in ARRAYS[:3:2]]
MACS = [
    MacConfig(rows=rows, columns=columns, weight_bits=bits, weight_path=path)
    for rows, columns in ((3, 4), (1, 1))
    for bits in (3, 8)
    for path in ("systolic", "broadcast")
]
MACS += [replace(config, activation_storage="latch") for config in MACS[:4]]


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
        eight_bit = getattr(config, "weight_bits", 3) == 8
        limit = 128 if eight_bit else MAX_MAGNITUDE
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
            weights = random.integers(-largest, largest + 1, (vectors, config.columns)).clip(-limit, limit - eight_bit)
            weights[0] = limit - eight_bit
            weights[1] = -limit
            if getattr(config, "encoding", "") == "cluster":
                make_storable(weights, random)
            room = (1 << config.accumulator_bits - 1) - 1 - config.columns * high * limit
            for number, vector in enumerate(weights):
                accumulate, last = int(random.random() < 0.5), int(number == vectors - 1)
                values = vector.tolist()
                if not eight_bit:
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


@pytest.mark.parametrize("config", ARRAYS, ids=label)
@pytest.mark.parametrize("early_termination", [1, 0])
def test_temporal_core_computes_and_keeps_pace(config, early_termination):
    work = Workload(config)
    bench = StreamBench(TemporalCore(config))
    bench.run(work.beats, len(work.expected), early_termination=early_termination)
    work.check(bench.results)

    cycles = [weight_cycles(config, weights, bool(early_termination)) for weights in work.weights]
    assert bench.computing_cycles == sum(map(sum, cycles))
    weights, activations = bench.accepted["weights"], bench.accepted["activations"]
    flat = sum(cycles, [])
    assert [v - w for v, w in zip(bench.valid_cycles, weights, strict=True)] == [
        result_latency(config, count) for count in flat
    ]
    count = len(cycles[0])
    assert np.diff(weights[:count]).tolist() == cycles[0][:-1]
    assert activations[work.rows[0]] - activations[0] == tile_cycles(config, work.rows[0], cycles[0])


@pytest.mark.parametrize("config", ARRAYS, ids=label)
def test_temporal_core_survives_random_pauses(config):
    work = Workload(config, seed=2)
    bench = StreamBench(TemporalCore(config), seed=3, pause=0.4)
    bench.run(work.beats, len(work.expected), early_termination=1)
    work.check(bench.results)


@pytest.mark.parametrize("sign_handling", ["row", "column"])
def test_packed_core_takes_slices_of_lines(sign_handling):
    config = ArrayConfig(rows=2, columns=7, sign_handling=sign_handling)
    random = np.random.default_rng(5)
    tile = random.integers(-128, 128, (config.rows, config.columns))
    lines, expected = [], []
    for number in range(20):
        line = random.integers(0, 256, config.line_bytes, dtype=np.uint8)
        chosen = number % config.line_slices
        weights = decode_line(line.tolist())[chosen * config.columns :][: config.columns]
        lines.append({"line": int.from_bytes(line.tobytes(), "little"), "slice": chosen, "last": int(number == 19)})
        expected.append(reference_sums(tile, np.array(weights)).tolist())
    bench = StreamBench(PackedCore(config), seed=1, pause=0.3)
    beats = {"activations": [{"values": row.tolist(), "last": 0} for row in tile], "lines": lines, "partials": []}
    bench.run(beats, len(lines), early_termination=1)
    assert [sums for sums, _ in bench.results] == expected


def decode_line(line: list[int]) -> list[int]:
    """Weights of a line, from the definition of the format."""
    weights = []
    for start in range(0, len(line), BLOCK_BYTES):
        index_byte, *payload_bytes = line[start : start + BLOCK_BYTES]
        payload = int.from_bytes(bytes(payload_bytes), "little")
        for cluster in range(8):
            code, bits = index_byte >> cluster // 2 * 2 & 3, payload >> 6 * cluster & 63
            if code == 0:
                fields = [(bits >> 2 * j & 1, bits >> 2 * j + 1 & 1) for j in range(3)]
            else:
                fields = [(bits & 3, bits >> 2 & 1), (bits >> 3 & 3, bits >> 5 & 1)]
                fields.insert(code - 1, (0, 0))
            weights += [-magnitude if sign else magnitude for magnitude, sign in fields]
    return weights


@pytest.mark.parametrize("config", MACS, ids=label)
def test_mac_core_computes_and_keeps_pace(config):
    work = Workload(config)
    bench = StreamBench(MacCore(config))
    bench.run(work.beats, len(work.expected))
    work.check(bench.results)
    weights, activations = bench.accepted["weights"], bench.accepted["activations"]
    assert [v - w for v, w in zip(bench.valid_cycles, weights, strict=True)] == [result_latency(config)] * len(weights)
    vectors = len(work.weights[0])
    assert np.diff(weights[:vectors]).tolist() == [1] * (vectors - 1)
    assert activations[work.rows[0]] - activations[0] == tile_cycles(config, work.rows[0], [1] * vectors)


@pytest.mark.parametrize("config", MACS, ids=label)
def test_mac_core_survives_random_pauses(config):
    work = Workload(config, seed=2)
    bench = StreamBench(MacCore(config), seed=3, pause=0.4)
    bench.run(work.beats, len(work.expected))
    work.check(bench.results)
