"""Layers that are larger than a descriptor allows: cut by the driver, exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fineq.quantizer.packed import PackedWeight
from fineq_hw.config import ACCELERATORS, MAX_LAYER_SIZE
from fineq_sim.driver import Accelerator, FunctionalTransport, Job
from fineq_sim.driver.samples import expected, load
from fineq_sim.driver.split import joined, part_weights, parts_of
from fineq_sim.reference.random_layers import random_activations, random_codes, sums

MACHINES = ("accelerator_8x24", "accelerator_5x7_cluster", "mac8x3_accelerator_16x16")


def machine_of(name: str) -> Accelerator:
    return Accelerator(FunctionalTransport(name))


@pytest.mark.parametrize("name", MACHINES)
def test_a_layer_that_fits_is_one_part(name):
    config = ACCELERATORS[name]
    (part,) = parts_of(MAX_LAYER_SIZE, config.max_inner_dimension // 7 * 7 - 7, config)
    assert part.height == MAX_LAYER_SIZE and part.inputs.start == 0


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("channels, inner", [(1, 28_672), (128_256, 3), (70_000, 50_000), (65_536, 21_846)])
def test_parts_cover_the_layer_once(name, channels, inner):
    """Every weight is in one part, and every part fits a descriptor."""
    config = ACCELERATORS[name]
    parts = parts_of(channels, inner, config)
    assert sum(part.height * part.width for part in parts) == channels * inner
    assert {(part.channels.start, part.inputs.start) for part in parts} == {
        (row, column)
        for row in {part.channels.start for part in parts}
        for column in {part.inputs.start for part in parts}
    }
    for part in parts:
        assert part.height <= MAX_LAYER_SIZE and part.width <= config.max_inner_dimension
        assert part.inputs.start % (config.array.columns * config.line_slices) == 0


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("output, function", [("sums", "none"), ("fixed", "silu"), ("int8", "relu")])
def test_more_inputs_than_the_accumulator_holds(name, output, function):
    """down_proj of LLaMA-2-70B has 28,672 inputs: largest sums, every output."""
    machine, rng = machine_of(name), np.random.default_rng(1)
    codes = random_codes(machine.config, rng, 7, 28_672)
    codes[0] = 3 if name.startswith("mac") else np.resize([3, 3, 0], 28_672)  # the largest sum that there is
    activations = random_activations(rng, 3, 28_672)
    activations[0] = -128
    job = Job(load(machine, codes, rng), activations, rng.uniform(1e-4, 1e-3, 3), output, function, 0.05)
    assert len(job.layer.parts) == 2
    free = machine.memory.free_bytes
    (result,) = machine.run_chain([job])
    assert np.array_equal(result.values, expected(job, codes))
    assert result.values.dtype == (np.int8 if output == "int8" else np.int32)
    assert result.counters["jobs"] == 2 and machine.memory.free_bytes == free
    machine.unload(job.layer)
    assert machine.memory.free_bytes == machine.memory.size


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("output", ["sums", "int8"])
def test_more_channels_than_a_descriptor_has(name, output):
    """A vocabulary of 128,256, in a chain with a small layer that shares its activations."""
    machine, rng = machine_of(name), np.random.default_rng(2)
    activations, scales = random_activations(rng, 2, 30), rng.uniform(1e-3, 1e-2, 2)
    jobs, codes = [], []
    for channels in (5, 128_256):
        codes.append(random_codes(machine.config, rng, channels, 30))
        jobs.append(Job(load(machine, codes[-1], rng), activations, scales, output, output_scale=0.05))
    assert [len(job.layer.parts) for job in jobs] == [1, 2]
    for job, code, result in zip(jobs, codes, machine.run_chain(jobs), strict=True):
        assert np.array_equal(result.values, expected(job, code))


def test_both_at_once_from_packed_blocks():
    """A machine with few accumulator bits makes a small layer large; the packed bytes are cut where blocks begin."""
    config = ACCELERATORS["accelerator_8x24"]
    config = replace(config, array=replace(config.array, accumulator_bits=16))
    machine, rng = Accelerator(FunctionalTransport(config)), np.random.default_rng(3)
    inner = 3 * config.max_inner_dimension + 5
    codes = random_codes(config, rng, MAX_LAYER_SIZE + 3, inner)
    packed = PackedWeight.from_codes(torch.from_numpy(codes.astype(np.int64)), torch.full((len(codes),), 0.01))
    layer = machine.load_linear(packed)
    assert len(layer.parts) == 2 * len({part.inputs.start for part in layer.parts}) > 4
    activations = random_activations(rng, 2, inner)
    assert np.array_equal(machine.run(layer, activations).values, sums(activations, codes))


def test_parts_join_in_order():
    config = ACCELERATORS["mac8x8_accelerator_5x7"]
    weights = np.arange(2 * 70_000).reshape(2, 70_000)
    parts = parts_of(2, 70_000, config)
    values = [part_weights(weights, part, config).sum(axis=1)[None] for part in parts]
    assert np.array_equal(joined(parts, values), weights.sum(axis=1)[None])
