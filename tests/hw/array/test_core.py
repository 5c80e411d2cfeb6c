"""The temporal cores against numpy: random data and pauses, early termination, cycle counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.hardware.core_workload import Workload, label
from helpers.hardware.encoded_arrays import in_every_encoding
from helpers.hardware.reference_decoder import decode_line
from helpers.hardware.stream_bench import StreamBench, reference_sums

from fineq_hw.array.core import PackedCore, TemporalCore
from fineq_hw.config import ArrayConfig
from fineq_hw.latencies import result_latency, tile_cycles, weight_cycles

ARRAYS = [
    ArrayConfig(rows=rows, columns=columns, sign_handling=sign, adder_tree=tree, **widths)
    for rows, columns, widths in ((3, 5, {}), (1, 1, {}), (2, 3, {"activation_bits": 2, "accumulator_bits": 7}))
    for sign in ("row", "column")
    for tree in ("structural", "behavioural")
]
ARRAYS += [
    config
    for columns in (5, 1)
    for tree in ("structural", "behavioural")[: 1 + (columns == 5)]
    for config in in_every_encoding(rows=3, columns=columns, adder_tree=tree)
    if config.encoding != "unary"
]
ARRAYS += [replace(config, activation_storage="latch") for config in ARRAYS[:3:2]]


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
        fields = decode_line(line.tolist())[chosen * config.columns :][: config.columns]
        weights = [-magnitude if sign else magnitude for magnitude, sign in fields]
        lines.append({"line": int.from_bytes(line.tobytes(), "little"), "slice": chosen, "last": int(number == 19)})
        expected.append(reference_sums(tile, np.array(weights)).tolist())
    bench = StreamBench(PackedCore(config), seed=1, pause=0.3)
    beats = {"activations": [{"values": row.tolist(), "last": 0} for row in tile], "lines": lines, "partials": []}
    bench.run(beats, len(lines), early_termination=1)
    assert [sums for sums, _ in bench.results] == expected
