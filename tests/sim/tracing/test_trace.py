"""The trace says what the counters say: summed up, its slices are the busy and stalled cycles of each stage."""

import json

import numpy as np
import pytest

from fineq_hw.config import ACCELERATORS
from fineq_hw.interface.jobs import OutputFormat
from fineq_hw.interface.registers import STAGES
from fineq_sim.driver.memory_timing import MemoryTiming
from fineq_sim.perf.jobs import code_steps, place_jobs
from fineq_sim.perf.twin import run
from fineq_sim.reference.random_layers import random_codes
from fineq_sim.tracing.perfetto import WINDOW, trace_text
from fineq_sim.tracing.watch import watch

MEMORY = MemoryTiming(latency=20, words_per_cycle=0.75)


def chain(machine):
    config, rng = ACCELERATORS[machine], np.random.default_rng(3)
    sizes = [(9, 40, 60, OutputFormat.FIXED), (3, 17, 24, OutputFormat.INT8)]
    steps = [code_steps(random_codes(config, rng, n, k), config) for _, n, k, _ in sizes]
    return config, place_jobs(config, sizes), steps


@pytest.mark.parametrize("machine", ["accelerator_5x7", "mac8x8_accelerator_5x7"])
def test_slices_sum_up_to_the_counters(machine):
    config, jobs, steps = chain(machine)
    counters = run(config, jobs, steps, MEMORY)
    watched = watch(config, jobs, steps, MEMORY, cycles=10**9)
    assert watched.ended and watched.counters == dict(counters.values)
    events = json.loads(trace_text([("layer", watched)], {}))["traceEvents"]
    for thread, stage in enumerate(STAGES, 1):
        for state, counter in (("busy", "busy"), ("stalled", "stall")):
            slices = [each for each in events if each["ph"] == "X" and each["tid"] == thread and each["name"] == state]
            assert sum(each["dur"] for each in slices) == counters[f"{stage}_{counter}"]
    words = [each["args"]["words"] for each in events if each["ph"] == "C"]
    assert sum(words) == counters["memory_access_busy"] and max(words) <= WINDOW


def test_slices_of_a_stage_do_not_overlap_and_follow_one_another():
    config, jobs, steps = chain("accelerator_5x7")
    runs = watch(config, jobs, steps, MEMORY, cycles=10**9).runs
    for stage in range(len(STAGES)):
        ours = runs[runs[:, 0] == stage]
        assert (ours[1:, 2] >= (ours[:-1, 2] + ours[:-1, 3])).all() and (ours[:, 3] > 0).all()


@pytest.mark.parametrize("limits", [{"cycles": 500}, {"cycles": 10**9, "room": 40}])
def test_a_watch_that_ends_early_has_the_counters_of_what_it_saw(limits):
    config, jobs, steps = chain("accelerator_5x7")
    watched = watch(config, jobs, steps, MEMORY, **limits)
    assert not watched.ended and watched.cycles <= 500
    busy = watched.runs[(watched.runs[:, 0] == 3) & (watched.runs[:, 1] == 1)][:, 3].sum()
    if "room" not in limits:
        assert busy == watched.counters["multiply_busy"] > 0


def test_layers_follow_one_another_in_time():
    config, jobs, steps = chain("accelerator_5x7")
    one = watch(config, jobs, steps, MEMORY, cycles=10**9)
    events = json.loads(trace_text([("a", one), ("b", one)], {"machine": "m"}))["traceEvents"]
    second = [each["ts"] for each in events if each["ph"] == "X" and each["pid"] == 2]
    assert min(second) >= one.cycles
