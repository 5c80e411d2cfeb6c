"""What a machine is given to do, read from its registers and its memory."""

import pytest

from fineq_hw.config import ACCELERATORS
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, encode_descriptor
from fineq_hw.interface.error_codes import ErrorCode
from fineq_hw.interface.registers import REGISTERS
from fineq_sim.bench.axi_memory import Memory
from fineq_sim.coverage import machine
from fineq_sim.driver.chain_monitor import ChainMonitor, read_chain

CONFIG = ACCELERATORS["accelerator_5x7"]
LEGAL = {
    "output_format": 1,
    "early_termination": 1,
    "tokens": 6,
    "channels": 16,
    "inner": 14,
    "activations": 0x1000,
    "weights": 0x2000,
    "channel_parameters": 0x4000,
    "token_parameters": 0x5000,
    "destination": 0x6000,
    "activation_stride": 16,
    "destination_stride": 64,
}
FIRST = 0x100


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.setattr("cocotb.RANDOM_SEED", 1, raising=False)
    return Memory(1 << 15, "monitor")


def lay_out(memory: Memory, *changes: dict[str, int], endless: bool = False) -> None:
    for number, fields in enumerate(changes):
        place, last = FIRST + DESCRIPTOR_BYTES * number, number == len(changes) - 1
        link = {"last": last and not endless, "next": FIRST if last else place + DESCRIPTOR_BYTES}
        memory.bytes[place : place + DESCRIPTOR_BYTES] = encode_descriptor(**(LEGAL | link | fields))


def chain(memory: Memory):
    return read_chain(memory, FIRST, CONFIG, 0, (1 << 15) - 1)


def test_chains_are_read_to_their_end(memory):
    lay_out(memory, {}, {"tokens": 1})
    assert (chain(memory).length, chain(memory).refused, chain(memory).jobs[1][1]["tokens"]) == ("2", ErrorCode.NONE, 1)
    lay_out(memory, *[{}] * 6)
    assert chain(memory).length == "4 or more"
    lay_out(memory, {}, {}, endless=True)
    assert chain(memory).length == "endless"
    lay_out(memory, {}, {"inner": 0}, {})
    assert (chain(memory).length, chain(memory).refused) == ("2", ErrorCode.ZERO_INNER)


def test_addresses_belong_to_regions(memory):
    lay_out(memory, {}, {})
    found = chain(memory)
    assert found.region_at(0x6000 + 5 * 64 + 63, CONFIG) == "destination"
    assert found.region_at(0x6000 + 5 * 64 + 64, CONFIG) is None
    assert found.region_at(FIRST + DESCRIPTOR_BYTES, CONFIG) == "descriptor"


@pytest.fixture
def started(memory, monkeypatch):
    """A monitor of a machine in which a chain has been started; counts are empty."""
    for group in (machine.CHAINS, machine.JOBS, machine.SHAPES, machine.REFUSALS, machine.BUS_ERRORS):
        monkeypatch.setattr(group, "counts", type(group.counts)())

    def start(*changes: dict[str, int]) -> ChainMonitor:
        lay_out(memory, *changes)
        monitor = ChainMonitor(CONFIG, memory, "two-ports", False)
        for name, value in (("MEMORY_LIMIT", (1 << 15) - 1), ("DESCRIPTOR", FIRST), ("CONTROL", 1)):
            monitor.written(REGISTERS[name].offset, value)
        return monitor

    return start


def test_jobs_count_when_the_chain_is_done(started):
    monitor = started({}, {"output_format": 2, "function": 1, "early_termination": 0})
    status = REGISTERS["STATUS"]
    monitor.read(status.offset, status.encode(busy=1))
    assert not machine.JOBS.counts
    for _ in range(2):
        monitor.read(status.offset, status.encode(done=1))
    assert machine.JOBS.counts == {("FIXED", "NONE", "early"): 1, ("INT8", "RELU", "full"): 1}
    assert machine.SHAPES.counts == {("ragged", "one tile", "whole tiles"): 2}
    assert machine.CHAINS.counts == {("2", "done"): 1}


def test_refusals_and_what_the_memory_refuses(started):
    error = REGISTERS["ERROR"]
    started({}, {"tokens": 0}).read(error.offset, ErrorCode.ZERO_TOKENS)
    assert machine.REFUSALS.counts == {("ZERO_TOKENS", "later"): 1}
    monitor = started({})
    monitor.read(error.offset, ErrorCode.READ_DECODE_ERROR)
    for word, value in enumerate((0x4008, 0)):
        monitor.read(REGISTERS["ERROR_ADDRESS"].offset + 4 * word, value)
    assert machine.BUS_ERRORS.counts == {("channel_parameters", "READ_DECODE_ERROR"): 1}
    with pytest.raises(AssertionError, match="ZERO_INNER of a chain that is refused with NONE"):
        started({}).read(error.offset, ErrorCode.ZERO_INNER)
