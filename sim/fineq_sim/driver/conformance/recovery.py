"""How a machine comes back: aborts, the reset line, time limits, bus errors, a full memory."""

from __future__ import annotations

import contextlib

import numpy as np

from fineq_hw.interface.bus import Response
from fineq_hw.interface.error_codes import ErrorCode
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.conformance.registry import CheckList, check_counters_of, model_of, refused
from fineq_sim.driver.exceptions import AcceleratorError, AcceleratorTimeout
from fineq_sim.driver.jobs import Linear
from fineq_sim.driver.samples import Prepared, load
from fineq_sim.reference.random_layers import random_activations, random_codes, sums

CHECKS = CheckList()


@CHECKS.add("abort")
def check_abort(machine: Accelerator) -> None:
    """An abort in the middle of a job, at many moments: idle, the reason recorded, restart clean, counters too."""
    rng = np.random.default_rng(7)
    config = machine.config
    tokens, channels, inner = config.array.rows + 1, 2 * config.final_channels, 2 * config.array.columns
    codes, activations = random_codes(config, rng, channels, inner), random_activations(rng, tokens, inner)
    layer = load(machine, codes, rng)
    # Of whole lines, so that the array works nearly all the time.
    shape = 2, config.final_channels, config.line_slices * config.array.columns
    prepared, model = Prepared(machine, shape=shape), model_of(machine)
    prepared.write(last=0, next=prepared.address)
    for cycles in (1, 20, 60, 150, 301, 400):
        machine.registers.write("DESCRIPTOR", prepared.address)
        machine.registers.write("CONTROL", start=1)
        machine.transport.wait(cycles)
        machine.registers.write("CONTROL", soft_reset=1)
        machine.transport.wait(10_000)
        assert not machine.registers.fields("STATUS")["busy"]
        assert machine.registers.fields("ERROR")["code"] == ErrorCode.ABORTED.value
        assert machine.registers.read("ERROR_ADDRESS") == machine.registers.read("CURRENT_DESCRIPTOR")
        machine.registers.write("STATUS", error=1)
        assert machine.registers.read("ERROR") == machine.registers.read("ERROR_ADDRESS") == 0
        check_counters_of(machine, model, codes[: config.final_channels], activations)  # in the very next run
        assert np.array_equal(machine.run(layer, activations).values, sums(activations, codes)), cycles


@CHECKS.add("abort_tiles")
def check_abort_tiles(machine: Accelerator) -> None:
    """An abort at every stage of a chain of jobs of several tiles in each direction; the next job is another one."""
    rng = np.random.default_rng(9)
    config = machine.config
    inner = config.line_slices * config.array.columns + 1
    codes, activations = random_codes(config, rng, 5, inner), random_activations(rng, 2, inner)
    layer = load(machine, codes, rng)
    shape = 2 * config.array.rows + 1, config.channels_per_tile + config.final_channels + 3, inner
    prepared = Prepared(machine, shape=shape)
    prepared.write()
    prepared.run()
    cycles = machine.registers.counters()["cycles"]
    prepared.write(last=0, next=prepared.address)
    moments = np.linspace(1, 1.2 * cycles, 12) if cycles else [1]
    for moment in map(int, moments):
        machine.registers.write("DESCRIPTOR", prepared.address)
        machine.registers.write("CONTROL", start=1)
        machine.transport.wait(moment)
        machine.registers.write("CONTROL", soft_reset=1)
        assert machine.transport.wait(10_000), f"the abort after {moment} cycles does not end"
        assert machine.registers.fields("ERROR")["code"] == ErrorCode.ABORTED.value
        result = machine.run(layer, activations, limit=20_000)
        assert np.array_equal(result.values, sums(activations, codes)), moment


@CHECKS.add("reset_line")
def check_reset_line(machine: Accelerator) -> None:
    """The reset line in the middle of a job, at many moments: registers as new, nothing left of the job."""
    rng = np.random.default_rng(8)
    config, transport = machine.config, machine.transport
    tokens, channels, inner = config.array.rows + 1, config.final_channels, 2 * config.array.columns
    codes, activations = random_codes(config, rng, channels, inner), random_activations(rng, tokens, inner)
    for cycles in (20, 60, 150, 400):
        before = Accelerator(transport)
        prepared = Prepared(before)
        prepared.write(last=0, next=prepared.address)
        before.registers.write("DESCRIPTOR", prepared.address)
        before.registers.write("CONTROL", start=1)
        transport.wait(cycles)
        transport.reset()
        status = before.registers.fields("STATUS")
        assert not any(value for name, value in status.items() if name != "memory_pending"), (cycles, status)
        assert before.registers.fields("ERROR")["code"] == 0
        after = Accelerator(transport)  # a driver that knows nothing of the one before
        layer = load(after, codes, rng)
        assert np.array_equal(after.run(layer, activations).values, sums(activations, codes)), cycles


@CHECKS.add("timeout")
def check_timeout(machine: Accelerator) -> None:
    """A chain that takes too long: the driver says where it was, and the machine is usable again."""
    prepared = Prepared(machine)
    jobs = [prepared.job, prepared.job]
    try:
        machine.run_chain(jobs, limit=1)
    except AcceleratorTimeout as error:
        assert str(error).startswith("no answer after 1 cycles: the machine is busy at "), str(error)
        assert "multiply busy" in str(error)
    else:
        raise AssertionError("two jobs took one cycle")
    prepared.check_usable()


@CHECKS.add("bus_errors")
def check_bus_errors(machine: Accelerator) -> None:
    """A memory that answers with an error, in every region: reported with its address, the machine stays usable."""
    transport = machine.transport
    prepared = Prepared(machine)
    regions = ("activations", "weights", "channel_parameters", "token_parameters", "destination")
    places = {name: prepared.fields[name] for name in regions} | {"descriptor": prepared.address}
    for region, address in places.items():
        for response in transport.fault_responses:
            prepared.write()
            transport.fault(address, 1, response)
            error = refused(prepared.run)
            transport.fault(0, 0, 0)
            kind = "SLAVE" if response == Response.SLVERR.value else "DECODE"
            direction = "WRITE" if region == "destination" else "READ"
            assert error.code == f"{direction}_{kind}_ERROR", (region, str(error))
            word = machine.config.bus_bytes
            burst = 256 * word
            assert error.address is not None
            assert address // word * word - burst < error.address <= address, (region, str(error))
            prepared.check_usable()


@CHECKS.add("full_memory")
def check_full_memory(machine: Accelerator) -> None:
    """Layers beyond the memory are refused by the driver; what is unloaded can be used again."""
    rng = np.random.default_rng(8)
    codes = random_codes(machine.config, rng, 64, machine.config.array.columns)
    free = machine.memory.free_bytes
    layers: list[Linear] = []
    with contextlib.suppress(AcceleratorError):
        while len(layers) < 40:
            layers.append(load(machine, codes, rng))
    for layer in layers:
        machine.unload(layer)
    assert machine.memory.free_bytes == free
