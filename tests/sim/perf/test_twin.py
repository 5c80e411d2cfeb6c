"""The twin by itself: what must hold for any job, and that every number it takes counts."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from fineq.format.temporal import input_order
from fineq_hw.config import ACCELERATORS
from fineq_hw.interface.descriptors import inner_tiles
from fineq_hw.interface.jobs import OutputFormat
from fineq_hw.interface.registers import COUNTERS, STAGES
from fineq_sim.driver.functional.counters import TIMELESS, job_counters, read_counters
from fineq_sim.driver.memory_timing import DRAM_PARTS, MemoryTiming
from fineq_sim.perf import build
from fineq_sim.perf.build import TwinError
from fineq_sim.perf.cases import Layer, random_cases
from fineq_sim.perf.constants import machine_constants
from fineq_sim.perf.jobs import code_steps, even_steps, longest_steps, place_jobs
from fineq_sim.perf.twin import run
from fineq_sim.reference.random_layers import random_codes

WIDE = ACCELERATORS["accelerator_64x64"]
TEMPORAL, MAC = ACCELERATORS["accelerator_5x7"], ACCELERATORS["mac8x8_accelerator_5x7"]
CLUSTER = ACCELERATORS["accelerator_5x7_cluster"]
AHEAD = replace(ACCELERATORS["accelerator_16x16"], outstanding_reads=64)
"""Reads so far ahead that the array waits for room for its results."""


def prepared(config, layers, rng):
    """Jobs of layers with random weights, their steps, and the weights."""
    codes = [random_codes(config, rng, layer.channels, layer.inner) for layer in layers]
    jobs = place_jobs(config, [(each.tokens, each.channels, each.inner, each.output) for each in layers])
    steps = [code_steps(code, config, layer.early_termination) for code, layer in zip(codes, layers, strict=True)]
    return jobs, steps, codes


@cache
def samples(config):
    """Chains of a machine: (jobs, steps, memory)."""
    found = []
    for case in random_cases(config, 24, seed=9):
        jobs, steps, _ = prepared(config, case.layers, np.random.default_rng(case.seed))
        found.append((jobs, steps, case.memory))
    # Results that wait for a memory that answers late; token parameters across the end of a page.
    late = Layer(60 * config.array.rows + 1, 1, 2 * config.array.columns)
    jobs, steps, _ = prepared(config, [late], np.random.default_rng(1))
    found.append((jobs, [table * 0 + longest_steps(config) for table in steps], MemoryTiming(latency=60)))
    jobs, steps, _ = prepared(config, [Layer(40, 3, 9, OutputFormat.FIXED)], np.random.default_rng(2))
    found.append(([replace(jobs[0], token_parameters=4096 - 48)], steps, MemoryTiming(latency=5)))
    return found


@cache
def expected(config):
    return [run(config, *sample).values for sample in samples(config)]


@pytest.mark.parametrize("machine", ACCELERATORS)
def test_skipping_changes_nothing(machine):
    """Token tiles that are left out are worth what they would have been worth."""
    config = ACCELERATORS[machine]
    rng = np.random.default_rng(11)
    faster = 0
    for number in range(8):
        tokens = int(rng.integers(4, 16)) * config.array.rows + int(rng.integers(2))
        channels = int(rng.integers(1, 1.2 * config.channels_per_tile))
        inner = int(rng.integers(1, 2.5 * config.array.columns))
        jobs = place_jobs(config, [(tokens, channels, inner, OutputFormat(number % 3)), (1, 1, 1, OutputFormat.INT8)])
        shapes = [(inner_tiles(job.inner, config), job.channels) for job in jobs]
        steps = [rng.integers(1, longest_steps(config) + 1, shape).astype(np.uint8) for shape in shapes]
        memory = MemoryTiming(latency=(1, 5, 60)[number % 3], words_per_cycle=(1, 0.75)[number // 6])
        skipped = run(config, jobs, steps, memory)
        assert skipped.values == run(config, jobs, steps, memory, skip=False).values
        faster += tokens > 8 * config.array.rows
    assert faster


@pytest.mark.parametrize(
    "config", [TEMPORAL, MAC, ACCELERATORS["accelerator_5x7_cluster"]], ids=["temporal", "mac", "cluster"]
)
def test_counters_without_time_are_those_of_the_functional_model(config):
    for case in random_cases(config, 20, seed=3):
        jobs, steps, codes = prepared(config, case.layers, np.random.default_rng(case.seed))
        counted = run(config, jobs, steps, case.memory)
        known = read_counters(config, 128, len(jobs))
        for job, code, layer in zip(jobs, codes, case.layers, strict=True):
            order = input_order(job.inner, config.array.columns, getattr(config.array, "encoding", "unary"))
            in_order = np.where(order < 0, 0, code[:, order]).reshape(layer.channels, -1)
            known.update(job_counters(config, vars(job) | {"early_termination": layer.early_termination}, in_order))
        names = {counter.name for counter in COUNTERS} - TIMELESS - {"jobs"}
        assert {name: counted[name] for name in names} == {name: known[name] for name in names}
        assert counted["jobs"] == len(jobs)
        for stage in STAGES:
            assert 0 <= counted[f"{stage}_busy"] + counted[f"{stage}_stall"] <= counted["cycles"]


def test_a_slower_memory_is_slower():
    config = WIDE
    jobs, steps = place_jobs(config, [(64, 512, 512, OutputFormat.INT8)]), [even_steps(8, 512, 2)]
    cycles = [
        run(config, jobs, steps, memory)["cycles"]
        for memory in (
            MemoryTiming(),
            MemoryTiming(latency=40),
            MemoryTiming(latency=40, words_per_cycle=0.5),
            MemoryTiming(latency=40, words_per_cycle=0.5, stall=0.3),
        )
    ]
    assert cycles == sorted(set(cycles))
    dram = {name: run(config, jobs, steps, MemoryTiming(dram=part))["cycles"] for name, part in DRAM_PARTS.items()}
    assert min(dram.values()) > cycles[0] and dram["DDR4-2400 x16"] == max(dram.values())


@pytest.mark.parametrize("share", [0.9, 0.75, 0.5, 0.31])
def test_words_come_as_often_as_the_memory_says(share):
    """A layer that waits for the bus alone moves so many words a cycle."""
    config = WIDE
    jobs, steps = place_jobs(config, [(1, 1024, 2048, OutputFormat.SUMS)]), [even_steps(32, 1024, 1)]
    counted = run(config, jobs, steps, MemoryTiming(words_per_cycle=share))
    assert counted["memory_access_busy"] / counted["cycles"] == pytest.approx(share, rel=0.03)


# -- every number counts -------------------------------------------------------------------------------------------

OTHERS = {
    "bus_bytes": 16,
    "page_bytes": 2048,
    "final_channels": 8,
    "vector_lanes": 4,
    "vector_words": 2,
    "wide_bytes": 8,
    "line_slices": 12,
    "alignment": 8,
    "token_tile_bytes": 48,
    "outstanding_writes": 4,
    "mac": 1,
    "after_channel_parameters": 3,
    "after_descriptor": 3,
    "after_next": 3,
}
"""Another value of a number, where one more would be none."""

SWAPPED = {
    "client_descriptor": "client_weights",
    "client_activations": "client_weights",
    "client_parameters": "client_weights",
    "client_weights": "client_descriptor",
    "turn_destination": "turn_weights",
    "turn_activations": "turn_destination",
    "turn_weights": "turn_channel_parameters",
    "turn_channel_parameters": "turn_weights",
    "turn_token_parameters": "turn_activations",
    "turn_descriptor": "turn_weights",
    "turn_next": "turn_descriptor",
}
"""Positions in an order: what each is swapped with."""

IN_WHICH = {"mac": MAC, "mac_latency": MAC, "partial_in_last_step": AHEAD}


@pytest.mark.parametrize("name", machine_constants(TEMPORAL))
def test_every_number_counts(name):
    """Change one number of the twin, and some chain takes another time."""
    config = IN_WHICH.get(name, TEMPORAL)
    numbers = machine_constants(config)
    if name in SWAPPED:
        changed = numbers | {name: numbers[SWAPPED[name]], SWAPPED[name]: numbers[name]}
    else:
        changed = numbers | {name: OTHERS.get(name, numbers[name] + 1)}
    if name == "mac":
        changed[name] = 1 - numbers[name]
    assert changed != numbers
    seen = 0
    for sample, right in zip(samples(config), expected(config), strict=True):
        try:
            seen += run(config, *sample, constants=changed, limit=20 * right["cycles"]).values != right
        except TwinError:
            seen += 1
    assert seen


# -- bad use -------------------------------------------------------------------------------------------------------


def test_bad_steps():
    config = TEMPORAL
    jobs = place_jobs(config, [(3, 5, 8, OutputFormat.SUMS)])
    with pytest.raises(ValueError, match=r"^steps have shape \[5, 2\]: they must be \[inner tiles, channels\], \[2, 5"):
        run(config, jobs, [even_steps(5, 2, 1)])
    with pytest.raises(ValueError, match="^steps are 4 to 4: they must lie between 1 and 3$"):
        run(config, jobs, [even_steps(2, 5, 4)])
    with pytest.raises(ValueError, match="^a chain has at least one job$"):
        run(config, [], [])


def test_a_chain_that_does_not_end():
    config = TEMPORAL
    jobs = place_jobs(config, [(3, 5, 8, OutputFormat.SUMS)])
    with pytest.raises(TwinError, match="^the chain has not ended after 50 cycles$"):
        run(config, jobs, [even_steps(2, 5, 1)], limit=50)


def test_numbers_are_told_by_name():
    config = TEMPORAL
    numbers = machine_constants(config)
    del numbers["rows"]
    with pytest.raises(TwinError, match="^the twin wants the constant numbers rows, channels_per_tile, "):
        run(config, place_jobs(config, [(1, 1, 1, OutputFormat.SUMS)]), [even_steps(1, 1, 1)], constants=numbers)


def test_without_a_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    build.library.cache_clear()
    try:
        with pytest.raises(
            TwinError,
            match=r"^the exact engine is a C\+\+ program that is compiled on first use: CXX names the C\+\+ "
            "compiler no-such-compiler, which is not installed$",
        ):
            build.library()
    finally:
        build.library.cache_clear()
