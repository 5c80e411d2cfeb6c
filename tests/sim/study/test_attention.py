"""Attention on the array: every product of queries and keys is there once, and is timed as a layer is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fineq.format import BLOCK_BYTES, BLOCK_WEIGHTS, bytes_per_row
from fineq_hw.config import ACCELERATORS
from fineq_hw.interface.jobs import OutputFormat
from fineq_sim.driver.memory_timing import MemoryTiming
from fineq_sim.study.architecture import Architecture
from fineq_sim.study.attention import (
    DIGIT_PLANES,
    DIGITS,
    KV_FINEQ,
    ON_ARRAY,
    VALUE_BLOCK,
    cache_bytes_written,
    cached_products,
)
from fineq_sim.study.outcome import ATTENTION
from fineq_sim.study.run import run_study
from fineq_sim.study.steps import find_steps
from fineq_sim.workloads.language_model import Layer, ModelShape, passes
from fineq_sim.workloads.work import Attention, Workload, WorkloadError

CONFIG = ACCELERATORS["accelerator_16x16"]
SMALL = Architecture("small", CONFIG, MemoryTiming(latency=5))
RESULTS = Path(__file__).parents[3] / "docs" / "results"
PROMPT = Attention("attention", blocks=2, heads=8, kv_heads=2, head_size=48, batch=3, before=10, queries=37)
CASES = [
    PROMPT,
    replace(PROMPT, one_by_one=True),
    replace(PROMPT, window=24),
    replace(PROMPT, heads=2, before=300),
    replace(PROMPT, heads=64, queries=1),
]


@pytest.mark.parametrize("mode", ON_ARRAY)
@pytest.mark.parametrize("attention", CASES)
def test_every_query_meets_every_key_that_it_sees(attention, mode):
    products = cached_products(attention, CONFIG, mode)
    planes = DIGIT_PLANES if mode == DIGITS else 1
    group = attention.heads // attention.kv_heads
    everywhere = attention.blocks * attention.batch * attention.kv_heads
    for what in ("scores", "weighted sums"):
        mine = [each for each in products if what in each.name]
        done = sum(each.tokens * each.channels * each.inner * each.count for each in mine)
        needed = planes * everywhere * group * attention.head_size * int(attention.contexts().sum())
        assert needed <= done
        # At most a tile of queries and a block of keys more than needed, for each query.
        slack = CONFIG.array.rows + CONFIG.array.columns
        assert done <= needed + planes * everywhere * group * attention.head_size * attention.queries * slack
        assert sum(each.macs for each in mine) == attention.macs // 2
        assert all(each.one_step == (mode == DIGITS) for each in mine)


def test_shapes_of_one_decoded_token():
    """Worked out by hand: 4 query heads share a key head, 200 keys are 13 blocks of 16."""
    attention = Attention("a", blocks=2, heads=8, kv_heads=2, head_size=48, batch=3, before=199, queries=1)
    scores, rest, full = cached_products(replace(attention, one_by_one=True), CONFIG, KV_FINEQ)
    assert (scores.tokens, scores.channels, scores.inner, scores.count) == (4, 208, 48, 12)
    assert scores.output is OutputFormat.FIXED
    assert (rest.tokens, rest.channels, rest.inner, rest.count) == (4, 48, 208 - VALUE_BLOCK, 12)
    assert (full.tokens, full.channels, full.inner, full.count) == (4, 48, VALUE_BLOCK, 12)
    assert full.output is rest.output is OutputFormat.SUMS
    scores, sums = cached_products(replace(attention, one_by_one=True), CONFIG, DIGITS)
    assert (scores.count, sums.count) == (60, 60) and (sums.tokens, sums.channels, sums.inner) == (4, 48, 208)
    assert scores.output is OutputFormat.SUMS
    assert cache_bytes_written(attention, KV_FINEQ) == 2 * 2 * 3 * 2 * bytes_per_row(48)
    assert cache_bytes_written(attention, DIGITS) == 5 * cache_bytes_written(attention, KV_FINEQ)


def test_ternary_planes_are_exact():
    """What `digits` rests on: five products with digits -1, 0, 1 are one with integers within +-121."""
    source = np.random.default_rng(1)
    values = source.integers(-121, 122, (9, 40))
    digits, left = [], values.copy()
    for _ in range(DIGIT_PLANES):
        digits.append((left + 1) % 3 - 1)
        left = (left - digits[-1]) // 3
    assert not left.any() and all(np.abs(plane).max() <= 1 for plane in digits)
    activations = source.integers(-127, 128, (5, 40))
    sums = sum(3**number * (activations @ plane.T) for number, plane in enumerate(digits))
    assert (sums == activations @ values.T).all()


def model_study(mode, phase="prefill", architecture=SMALL):
    shape = ModelShape("m", "a test", (Layer("l", 48, 48),), 2, 8, 2, 48, 48, 100)
    workload = Workload("m", "a test", passes(shape, phase, [60]))
    return run_study(workload, architecture, find_steps("all", architecture.config, RESULTS, False), attention=mode)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("mode", ON_ARRAY)
def test_a_study_counts_it_on_the_array(mode, phase):
    found, beside = model_study(mode, phase), model_study("engine", phase)
    (outcome,), (other,) = found.outcomes, beside.outcomes
    assert outcome.macs == other.macs, "the same work, wherever it runs"
    assert outcome.array_share > other.array_share
    jobs = [layer for layer in outcome.layers if layer.kind == ATTENTION and layer.on_array]
    assert jobs and all(layer.cycles and layer.streams["cache"] > 0 and not layer.streams["weights"] for layer in jobs)
    assert all(layer.engine in ("tile", "exact") for layer in jobs)
    if mode == DIGITS:
        assert all(layer.steps_per_vector == 1 for layer in jobs)
    (written,) = [layer for layer in outcome.layers if layer.name == "attention, cache written"]
    assert written.macs == 0 and written.streams["cache"] > 0
    (note,) = [note for note in found.notes if note.startswith("Keys and values")]
    assert ("accuracy not shown" in note) == (mode == KV_FINEQ)


def test_the_page_has_the_numbers_of_the_code():
    page = (RESULTS.parent / "simulator" / "studies.md").read_text(encoding="utf-8")
    assert f"one for every {VALUE_BLOCK} keys" in page
    assert f"{DIGIT_PLANES} planes are {DIGIT_PLANES * 8 * BLOCK_BYTES / BLOCK_WEIGHTS:.1f} bits per element" in page


def test_digits_need_an_array_of_steps():
    with pytest.raises(WorkloadError, match="choose engine"):
        model_study(DIGITS, architecture=replace(SMALL, config=ACCELERATORS["mac8x3_accelerator_16x16"]))
    model_study(KV_FINEQ, architecture=replace(SMALL, config=ACCELERATORS["mac8x3_accelerator_16x16"]))
