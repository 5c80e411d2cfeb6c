"""What a machine must refuse, and leave alone: descriptors, registers, memory."""

from __future__ import annotations

from functools import partial

import numpy as np

from fineq_hw.interface.descriptors import encode_descriptor
from fineq_hw.interface.error_codes import ErrorCode
from fineq_hw.interface.jobs import OutputFormat
from fineq_hw.interface.registers import REGISTERS
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.conformance.registry import CheckList, refused
from fineq_sim.driver.exceptions import AcceleratorError
from fineq_sim.driver.samples import Prepared, spoilt_descriptors

CHECKS = CheckList()


@CHECKS.add("refusals")
def check_refusals(machine: Accelerator) -> None:
    """Descriptors that are illegal in every field: the right code, nothing written, the machine stays usable."""
    prepared = Prepared(machine)
    for code, changes in spoilt_descriptors(prepared).items():
        prepared.write(**changes)
        before = machine.transport.read_memory(machine.transport.memory_base, machine.transport.memory_size)
        error = refused(prepared.run)
        assert error.code == code, (code, changes, str(error))
        after = machine.transport.read_memory(machine.transport.memory_base, machine.transport.memory_size)
        assert np.array_equal(before, after), code
    for offset in (0x03, 0x4F + 1, 0x7F):
        descriptor = bytearray(encode_descriptor(**prepared.fields))
        descriptor[offset] |= 0x80
        prepared.write_bytes(bytes(descriptor))
        assert refused(prepared.run).code == "RESERVED_BITS"
        assert machine.registers.fields("ERROR")["detail"] in (0, offset // 4 * 4)
    for address, code in ((prepared.address + 4, "DESCRIPTOR_MISALIGNED"), (1 << 15 << 16, "DESCRIPTOR_OUTSIDE")):
        if address >> machine.config.address_bits == 0:
            assert refused(partial(prepared.run, address)).code == code
    prepared.check_usable()


@CHECKS.add("memory_is_untouched")
def check_memory_is_untouched(machine: Accelerator) -> None:
    """A job changes the elements of its result and not one byte more."""
    transport = machine.transport
    for output in ("sums", "fixed", "int8"):
        prepared = Prepared(machine, "fixed" if output == "int8" else output)
        size = 1 if output == "int8" else 4
        prepared.write(output_format=OutputFormat[output.upper()].value, requantize_multiplier=1)
        rng = np.random.default_rng(6)
        noise = rng.integers(0, 256, prepared.place.stride * len(prepared.activations), dtype=np.uint8)
        transport.write_memory(prepared.place.address, noise)
        before = transport.read_memory(transport.memory_base, transport.memory_size)
        prepared.run()
        changed = transport.read_memory(transport.memory_base, transport.memory_size) != before
        start = prepared.place.address - transport.memory_base
        for token in range(len(prepared.activations)):
            first = start + token * prepared.place.stride
            changed[first : first + size * len(prepared.codes)] = False
        assert not changed.any(), (output, np.flatnonzero(changed)[:8])


@CHECKS.add("register_accesses")
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


@CHECKS.add("start_while_busy")
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
