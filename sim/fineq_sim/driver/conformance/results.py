"""What a machine computes and counts: sums, every output format, chains, counters."""

from __future__ import annotations

import numpy as np

from fineq_hw.interface.jobs import ActivationFunction
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.conformance.registry import CheckList, check_counters_of, model_of
from fineq_sim.driver.jobs import Job
from fineq_sim.driver.samples import Prepared, expected, load, shapes
from fineq_sim.reference.random_layers import random_activations, random_codes, sums

CHECKS = CheckList()


@CHECKS.add("identification")
def check_identification(machine: Accelerator) -> None:
    """The driver finds out what it is connected to."""
    config = machine.config
    assert machine.registers.fields("ARRAY_SIZE") == {"rows": config.array.rows, "columns": config.array.columns}
    known = getattr(machine.transport, "config", config)
    for name in ("bus_bits", "address_bits", "channels_per_tile", "line_bytes", "max_inner_dimension"):
        assert getattr(config, name) == getattr(known, name), name


@CHECKS.add("sums")
def check_sums(machine: Accelerator) -> None:
    """Integer sums of layers of many shapes, with and without early termination."""
    rng = np.random.default_rng(1)
    for tokens, channels, inner in shapes(machine.config):
        codes, activations = random_codes(machine.config, rng, channels, inner), random_activations(rng, tokens, inner)
        layer = load(machine, codes, rng)
        steps = []
        for early in (True, False):
            result = machine.run(layer, activations, early_termination=early)
            assert np.array_equal(result.values, sums(activations, codes)), (tokens, channels, inner)
            steps.append(result.counters["multiply_busy"] + result.counters["terminated_cycles"])
        assert steps[0] == steps[1]
        machine.unload(layer)


@CHECKS.add("outputs")
def check_outputs(machine: Accelerator) -> None:
    """Every output format with every function, against the reference of the vector unit."""
    rng = np.random.default_rng(2)
    config = machine.config
    tokens, channels, inner = config.array.rows + 2, config.final_channels + 5, config.array.columns + 1
    codes, activations = random_codes(config, rng, channels, inner), random_activations(rng, tokens, inner)
    layer = load(machine, codes, rng)
    scales = rng.uniform(0.001, 0.2, tokens)
    for output in ("fixed", "int8"):
        for function in ActivationFunction:
            early = function is not ActivationFunction.NONE
            job = Job(layer, activations, scales, output, function.name.lower(), 0.07, early)
            assert np.array_equal(machine.run_chain([job])[0].values, expected(job, codes)), (output, function)


@CHECKS.add("chain")
def check_chain(machine: Accelerator) -> None:
    """Several descriptors in one chain, some with the same activations."""
    rng = np.random.default_rng(3)
    config = machine.config
    inner = 2 * config.array.columns + 1
    shared = random_activations(rng, 3, inner)
    scales = rng.uniform(0.01, 0.1, 3)
    jobs, codes = [], []
    for channels, output in ((7, "sums"), (20, "fixed"), (1, "int8"), (33, "sums")):
        codes.append(random_codes(config, rng, channels, inner))
        jobs.append(Job(load(machine, codes[-1], rng), shared, scales, output, output_scale=0.5))
    done = machine.registers.read("JOBS_DONE")
    results = machine.run_chain(jobs)
    for job, code, result in zip(jobs, codes, results, strict=True):
        assert np.array_equal(result.values, expected(job, code)), job.output
        assert result.counters["jobs"] == len(jobs)
    assert machine.registers.read("JOBS_DONE") == done + len(jobs)
    assert machine.registers.read("TAG") == len(jobs) - 1


@CHECKS.add("job_interrupt")
def check_job_interrupt(machine: Accelerator) -> None:
    """The flag `interrupt` of a descriptor, and nothing else, raises `job_done` and with it the interrupt."""
    registers = machine.registers
    prepared = Prepared(machine)
    for interrupt in (0, 1, 0):
        prepared.write(interrupt=interrupt)
        registers.write("INTERRUPT_ENABLE", job_done=1)
        registers.write("DESCRIPTOR", prepared.address)
        registers.write("CONTROL", start=1)
        assert machine.transport.wait(5_000) == bool(interrupt)
        assert registers.fields("STATUS")["job_done"] == interrupt and registers.fields("STATUS")["done"]
        registers.write("STATUS", job_done=1)
        assert not machine.transport.wait(5)
        registers.write("INTERRUPT_ENABLE", done=1, error=1)
        registers.write("STATUS", done=1)


@CHECKS.add("counters")
def check_counters(machine: Accelerator) -> None:
    """All counters that follow from the work alone equal those of the functional model."""
    rng = np.random.default_rng(4)
    model = model_of(machine)
    for (tokens, channels, inner), output in zip(
        shapes(machine.config), ("sums", "fixed", "int8", "fixed"), strict=True
    ):
        codes, activations = random_codes(machine.config, rng, channels, inner), random_activations(rng, tokens, inner)
        check_counters_of(machine, model, codes, activations, output)
