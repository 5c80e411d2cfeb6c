"""One test of driver and machine for every transport: the same checks on the functional model and on the RTL.

Each function of `CHECKS` takes a fresh `Accelerator`, works with it and asserts. What a machine must do is taken
from numpy, from `fineq_sim.vector_reference` and from the functional model, never from the machine itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from fineq_hw.interface.bus import Response
from fineq_hw.interface.descriptors import encode_descriptor
from fineq_hw.interface.error_codes import ErrorCode
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat
from fineq_hw.interface.registers import REGISTERS
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.exceptions import AcceleratorError, AcceleratorTimeout
from fineq_sim.driver.functional import TIMELESS, FunctionalTransport
from fineq_sim.driver.jobs import Job
from fineq_sim.driver.samples import Prepared, expected, load, shapes, spoilt_descriptors
from fineq_sim.reference.random_layers import random_activations, random_codes, sums


def check_identification(machine: Accelerator) -> None:
    """The driver finds out what it is connected to."""
    config = machine.config
    assert machine.registers.fields("ARRAY_SIZE") == {"rows": config.array.rows, "columns": config.array.columns}
    known = getattr(machine.transport, "config", config)
    for name in ("bus_bits", "address_bits", "channels_per_tile", "line_bytes", "max_inner_dimension"):
        assert getattr(config, name) == getattr(known, name), name


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
            job = Job(layer, activations, scales, output, function.name.lower(), 0.07)
            assert np.array_equal(machine.run_chain([job])[0].values, expected(job, codes)), (output, function)


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


def check_counters(machine: Accelerator) -> None:
    """All counters that follow from the work alone equal those of the functional model."""
    rng = np.random.default_rng(4)
    model = _model_of(machine)
    for (tokens, channels, inner), output in zip(
        shapes(machine.config), ("sums", "fixed", "int8", "fixed"), strict=True
    ):
        codes, activations = random_codes(machine.config, rng, channels, inner), random_activations(rng, tokens, inner)
        _check_counters_of(machine, model, codes, activations, output)


def _model_of(machine: Accelerator) -> Accelerator:
    config = getattr(machine.transport, "config", machine.config)
    return Accelerator(FunctionalTransport(config, memory_size=1 << 20))


def _check_counters_of(
    machine: Accelerator, model: Accelerator, codes: np.ndarray, activations: np.ndarray, output: str = "sums"
) -> None:
    """Run a layer on the machine and on the functional model; their counters agree."""
    counted = []
    for each in (machine, model):
        layer = each.load_integers(codes, 0.02)
        scales = np.full(len(activations), 0.03)
        counted.append(each.run(layer, activations, output=output, scales=scales, output_scale=0.1).counters)
        each.unload(layer)
    differences = {
        name: (value, counted[1][name])
        for name, value in counted[0].values.items()
        if name not in TIMELESS and value != counted[1][name]
    }
    assert not differences, (codes.shape, activations.shape, output, differences)


def check_refusals(machine: Accelerator) -> None:
    """Descriptors that are illegal in every field: the right code, nothing written, the machine stays usable."""
    prepared = Prepared(machine)
    for code, changes in spoilt_descriptors(prepared).items():
        prepared.write(**changes)
        before = machine.transport.read_memory(machine.transport.memory_base, machine.transport.memory_size)
        error = _refused(prepared.run)
        assert error.code == code, (code, changes, str(error))
        after = machine.transport.read_memory(machine.transport.memory_base, machine.transport.memory_size)
        assert np.array_equal(before, after), code
    for offset in (0x03, 0x4F + 1, 0x7F):
        descriptor = bytearray(encode_descriptor(**prepared.fields))
        descriptor[offset] |= 0x80
        prepared.write_bytes(bytes(descriptor))
        assert _refused(prepared.run).code == "RESERVED_BITS"
        assert machine.registers.fields("ERROR")["detail"] in (0, offset // 4 * 4)
    for address, code in ((prepared.address + 4, "DESCRIPTOR_MISALIGNED"), (1 << 15 << 16, "DESCRIPTOR_OUTSIDE")):
        if address >> machine.config.address_bits == 0:
            assert _refused(lambda address=address: prepared.run(address)).code == code
    prepared.check_usable()


def _refused(run: Callable[[], None]) -> AcceleratorError:
    try:
        run()
    except AcceleratorError as error:
        return error
    raise AssertionError("the accelerator took a descriptor that it must refuse")


def check_memory_is_untouched(machine: Accelerator) -> None:
    """A job changes the elements of its result and not one byte more."""
    transport = machine.transport
    for output in ("sums", "fixed", "int8"):
        prepared = Prepared(machine, "fixed" if output == "int8" else output)
        size = 1 if output == "int8" else 4
        prepared.write(output_format=OutputFormat[output.upper()].value, requantize_multiplier=1)
        rng = np.random.default_rng(6)
        noise = rng.integers(0, 256, prepared.stride * len(prepared.activations), dtype=np.uint8)
        transport.write_memory(prepared.destination, noise)
        before = transport.read_memory(transport.memory_base, transport.memory_size)
        prepared.run()
        changed = transport.read_memory(transport.memory_base, transport.memory_size) != before
        start = prepared.destination - transport.memory_base
        for token in range(len(prepared.activations)):
            first = start + token * prepared.stride
            changed[first : first + size * len(prepared.codes)] = False
        assert not changed.any(), (output, np.flatnonzero(changed)[:8])


def check_register_accesses(machine: Accelerator) -> None:
    """Accesses that are not allowed are answered with an error, recorded, and change nothing."""
    transport, registers = machine.transport, machine.registers
    magic = REGISTERS["MAGIC"]
    assert not transport.write_register(magic.offset, 0)
    error = registers.fields("ACCESS_ERROR")
    assert error == {"code": ErrorCode.READ_ONLY.value, "register": magic.offset}
    unmapped = 0xFF0
    assert transport.read_register(unmapped) is None
    assert registers.fields("ACCESS_ERROR") == error  # the first one stays
    assert registers.fields("STATUS")["access_error"]
    registers.write("STATUS", access_error=1)
    assert registers.read("ACCESS_ERROR") == 0
    assert not transport.write_register(unmapped, 1)
    assert registers.fields("ACCESS_ERROR")["code"] == ErrorCode.UNMAPPED_WRITE.value
    registers.write("STATUS", access_error=1)
    assert registers.read("MAGIC") == magic.reset(machine.config)


def check_start_while_busy(machine: Accelerator) -> None:
    """A second start and a change of the memory window are refused; the running chain is not disturbed."""
    prepared = Prepared(machine)
    prepared.write(last=0, next=prepared.address)  # for ever, so that it is busy
    registers = machine.registers
    registers.write("DESCRIPTOR", prepared.address)
    registers.write("CONTROL", start=1)
    for name, fields, code in (
        ("CONTROL", {"start": 1}, "START_WHILE_BUSY"),
        ("CONTROL", {"start": 1, "soft_reset": 1, "clear_counters": 1}, "START_WHILE_BUSY"),
        ("MEMORY_BASE", {"value": 0}, "WRITE_WHILE_BUSY"),
    ):
        try:
            registers.write(name, **fields)
        except AcceleratorError as error:
            assert error.code == code, str(error)
        else:
            raise AssertionError(f"a write to {name} was taken while busy")
    assert registers.fields("STATUS")["busy"]
    machine.reset()
    prepared.check_usable()


def check_abort(machine: Accelerator) -> None:
    """An abort in the middle of a job, at many moments: idle, the reason recorded, restart clean, counters too."""
    rng = np.random.default_rng(7)
    config = machine.config
    tokens, channels, inner = config.array.rows + 1, 2 * config.final_channels, 2 * config.array.columns
    codes, activations = random_codes(config, rng, channels, inner), random_activations(rng, tokens, inner)
    layer = load(machine, codes, rng)
    # Of whole lines, so that the array works nearly all the time.
    shape = 2, config.final_channels, config.line_slices * config.array.columns
    prepared, model = Prepared(machine, shape=shape), _model_of(machine)
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
        _check_counters_of(machine, model, codes[: config.final_channels], activations)  # in the very next run
        assert np.array_equal(machine.run(layer, activations).values, sums(activations, codes)), cycles


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
        assert not any(before.registers.fields("STATUS").values()), cycles
        assert before.registers.fields("ERROR")["code"] == 0
        after = Accelerator(transport)  # a driver that knows nothing of the one before
        layer = load(after, codes, rng)
        assert np.array_equal(after.run(layer, activations).values, sums(activations, codes)), cycles


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
            error = _refused(prepared.run)
            transport.fault(0, 0, 0)
            kind = "SLAVE" if response == Response.SLVERR.value else "DECODE"
            direction = "WRITE" if region == "destination" else "READ"
            assert error.code == f"{direction}_{kind}_ERROR", (region, str(error))
            word = machine.config.bus_bytes
            burst = 256 * word
            assert address // word * word - burst < error.address <= address, (region, str(error))
            prepared.check_usable()


def check_full_memory(machine: Accelerator) -> None:
    """Layers beyond the memory are refused by the driver; what is unloaded can be used again."""
    rng = np.random.default_rng(8)
    codes = random_codes(machine.config, rng, 64, machine.config.array.columns)
    free, layers = machine.memory.free_bytes, []
    with contextlib.suppress(AcceleratorError):
        while len(layers) < 40:
            layers.append(load(machine, codes, rng))
    for layer in layers:
        machine.unload(layer)
    assert machine.memory.free_bytes == free


CHECKS: dict[str, Callable[[Accelerator], None]] = {
    name.removeprefix("check_"): function for name, function in list(globals().items()) if name.startswith("check_")
}
"""Every check by name."""
