"""The MAC core against numpy: random data and pauses, cycle counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.hardware.core_workload import Workload, label
from helpers.hardware.stream_bench import StreamBench

from fineq_hw.baseline.mac_core import MacCore
from fineq_hw.config import MAC_WEIGHT_BITS, MAC_WEIGHT_PATHS, MacConfig
from fineq_hw.latencies import result_latency, tile_cycles

MACS = [
    MacConfig(rows=rows, columns=columns, weight_bits=bits, weight_path=path)
    for rows, columns in ((3, 4), (1, 1))
    for bits in (3, 8)
    for path in ("systolic", "broadcast")
]
MACS += [replace(config, activation_storage="latch") for config in MACS[:4]]
MACS += [
    MacConfig(rows=3, columns=5, weight_bits=bits, weight_path=path, multiplier="digits", register_columns=every)
    for bits in MAC_WEIGHT_BITS
    for path in MAC_WEIGHT_PATHS
    for every in (1, 2, 5)
]
MACS += [MacConfig(rows=1, columns=1, weight_bits=bits, multiplier="digits") for bits in MAC_WEIGHT_BITS]
MACS += [MacConfig(3, 4, weight_bits=3, weight_path="broadcast", activation_storage="latch", multiplier="digits")]


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
