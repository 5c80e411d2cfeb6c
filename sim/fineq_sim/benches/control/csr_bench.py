"""Control and status registers over AXI4-Lite: every address, every field, refusals, flags; `csr_counters` has more."""

from __future__ import annotations

import cocotb
from cocotbext.axi import AxiResp

from fineq_hw.control.structs import fault_layout
from fineq_hw.interface.error_codes import ErrorCode
from fineq_hw.interface.registers import ADDRESS_BITS, REGISTERS, WORD_BYTES, Register
from fineq_sim.bench.register_bench import RegisterBench
from fineq_sim.bench.testbench import random_source
from fineq_sim.benches.control.csr_counters import (
    a_counter_cleared_while_read_is_not_torn,
    counts_events,
    results_of_jobs,
    two_words_of_a_counter_belong_together,
)

LAST_WORD = (1 << ADDRESS_BITS) - WORD_BYTES

__all__ = [  # a simulation runs the tests of one module: these are from another file
    "a_counter_cleared_while_read_is_not_torn",
    "counts_events",
    "results_of_jobs",
    "two_words_of_a_counter_belong_together",
]


def by_address() -> dict[int, Register]:
    """Register of every word that has one."""
    return {
        register.offset + WORD_BYTES * number: register
        for register in REGISTERS.values()
        for number in range(register.words)
    }


@cocotb.test()
async def reset_values(dut):
    """Every address: the identification and zeros, or an error."""
    tb = await RegisterBench.begun(dut)
    known = by_address()
    unmapped = [address for address in range(0, LAST_WORD + 1, WORD_BYTES) if address not in known]
    for address, register in known.items():
        expected = register.reset(tb.config) >> 8 * (address - register.offset) & 0xFFFFFFFF
        assert await tb.read_word(address) == expected, register.name
    for address in unmapped:
        assert await tb.read_word(address, AxiResp.SLVERR) == 0
    assert await tb.fields("ACCESS_ERROR") == {"code": ErrorCode.UNMAPPED_READ, "register": unmapped[0]}
    await tb.status(access_error=1)
    await tb.write_register("STATUS", REGISTERS["STATUS"].encode(access_error=1))
    await tb.status()
    assert await tb.read_register("ACCESS_ERROR") == 0


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5])
async def writes_what_may_be_written(dut, stall):
    """Random bytes to random addresses; what is kept and what is refused follows from the register map."""
    tb = await RegisterBench.begun(dut, stall)
    source = random_source(f"writes {stall}")
    known = by_address()
    stored = {name: register.reset(tb.config) for name, register in REGISTERS.items() if tb.kept_bits(register)}
    clear = REGISTERS["STATUS"].encode(access_error=1)
    addresses = [address for address, register in known.items() if register.name not in ("CONTROL", "STATUS")]
    for _ in range(300):
        beyond = source.randrange(0, LAST_WORD + 1, WORD_BYTES)
        address = source.choice((*addresses, beyond, *[REGISTERS[name].offset for name in stored]))
        register = known.get(address)
        if register and register.name in ("CONTROL", "STATUS"):
            continue
        first = source.randrange(WORD_BYTES)
        count = source.randint(1, WORD_BYTES - first)
        raw = source.randbytes(count)
        answer = await tb.master.write(address + first, raw)
        if register is not None and register.writable:
            assert answer.resp == AxiResp.OKAY
            shift = 8 * (address - register.offset + first)
            mask = ((1 << 8 * count) - 1) << shift & tb.kept_bits(register)
            value = int.from_bytes(raw, "little") << shift & mask
            stored[register.name] = stored[register.name] & ~mask | value
            assert await tb.read_register(register.name) == stored[register.name], register.name
        else:
            assert answer.resp == AxiResp.SLVERR
            code = ErrorCode.READ_ONLY if register else ErrorCode.UNMAPPED_WRITE
            assert await tb.fields("ACCESS_ERROR") == {"code": code, "register": address}
            await tb.status(access_error=1)
            await tb.write_register("STATUS", clear)
    for name, value in stored.items():
        assert await tb.read_register(name) == value, name
    for name in ("descriptor", "memory_base", "memory_limit"):
        assert int(getattr(dut, name).value) == stored[name.upper()]
    assert not +tb.pulses, f"nobody asked for {tb.pulses}"


@cocotb.test()
async def reads_and_writes_at_once(dut):
    """Both directions of the bus are independent of each other."""
    tb = await RegisterBench.begun(dut, 0.3)
    source = random_source("both")
    values = [source.getrandbits(64) for _ in range(30)]
    magic = REGISTERS["MAGIC"]

    async def reader() -> None:
        for _ in range(60):
            assert await tb.read_register("MAGIC") == magic.reset(tb.config)

    reading = cocotb.start_soon(reader())
    for value in values:
        await tb.write_register("DESCRIPTOR", value)
    await reading
    assert await tb.read_register("DESCRIPTOR") == values[-1]


@cocotb.test()
async def answers_in_order(dut):
    """Accesses that do not wait for the answer to the one before; each gets its own."""
    tb = await RegisterBench.begun(dut, 0.6)
    source = random_source("order")
    legal, illegal = REGISTERS["DESCRIPTOR"].offset, REGISTERS["TAG"].offset
    identification = [REGISTERS[name].offset for name in ("MAGIC", "VERSION", "ARRAY_SIZE", "TILE")]
    expected = {address: await tb.read_word(address) for address in identification}
    writes = [source.choice((legal, illegal)) for _ in range(40)]
    reads = [source.choice(identification) for _ in range(40)]
    write_events = [
        tb.master.init_write(address, number.to_bytes(4, "little")) for number, address in enumerate(writes)
    ]
    read_events = [tb.master.init_read(address, WORD_BYTES) for address in reads]
    for address, event in zip(writes, write_events, strict=True):
        await event.wait()
        assert event.data.resp == (AxiResp.OKAY if address == legal else AxiResp.SLVERR)
    for address, event in zip(reads, read_events, strict=True):
        await event.wait()
        assert int.from_bytes(event.data.data, "little") == expected[address]
    assert await tb.read_word(legal) == max(number for number, address in enumerate(writes) if address == legal)


@cocotb.test()
async def commands(dut):
    """Each command for one cycle; a start while busy is refused with everything else in the write."""
    tb = await RegisterBench.begun(dut)
    control = REGISTERS["CONTROL"]
    await tb.write_register("CONTROL", control.encode(start=1))
    assert tb.pulses == {"start": 1, "soft_reset": 0}
    await tb.write_register("CONTROL", control.encode(soft_reset=1))
    assert tb.pulses == {"start": 1, "soft_reset": 1}
    await tb.master.write(control.offset + 1, b"\xff\xff\xff")  # the lowest byte has no strobe
    await tb.write_register("CONTROL", 0xFFFFFFF8)
    assert tb.pulses == {"start": 1, "soft_reset": 1}
    assert await tb.read_register("CONTROL") == 0
    await tb.status()

    tb.drive(busy=1)
    await tb.write_register("CONTROL", control.encode(start=1, soft_reset=1, clear_counters=1), AxiResp.SLVERR)
    assert tb.pulses == {"start": 1, "soft_reset": 1}
    await tb.status(busy=1, access_error=1)
    assert await tb.fields("ACCESS_ERROR") == {"code": ErrorCode.START_WHILE_BUSY, "register": control.offset}
    await tb.write_register("MAGIC", 0, AxiResp.SLVERR)
    first = await tb.fields("ACCESS_ERROR")
    assert first["code"] == ErrorCode.START_WHILE_BUSY, "the first refusal is the one to report"
    assert await tb.read_register("COUNTER_CYCLES") > 0
    await tb.write_register("CONTROL", control.encode(soft_reset=1))
    assert tb.pulses == {"start": 1, "soft_reset": 2}
    tb.drive(busy=0)
    await tb.write_register("CONTROL", control.encode(start=1))
    assert tb.pulses == {"start": 2, "soft_reset": 2}
    await tb.status(access_error=1)


@cocotb.test()
async def locked_while_busy(dut):
    """The memory window stays as it is while a chain runs; the other registers are free."""
    tb = await RegisterBench.begun(dut)
    source = random_source("locked")
    before = {name: await tb.read_register(name) for name in REGISTERS if REGISTERS[name].locked}
    assert before
    tb.drive(busy=1)
    for name, value in before.items():
        for number in range(REGISTERS[name].words):
            address = REGISTERS[name].offset + WORD_BYTES * number
            await tb.write_word(address, source.getrandbits(32), AxiResp.SLVERR)
            assert await tb.fields("ACCESS_ERROR") == {"code": ErrorCode.WRITE_WHILE_BUSY, "register": address}
            await tb.write_register("STATUS", REGISTERS["STATUS"].encode(access_error=1))
        assert await tb.read_register(name) == value
    for name in ("DESCRIPTOR", "INTERRUPT_ENABLE"):
        await tb.write_register(name, tb.kept_bits(REGISTERS[name]))
        assert await tb.read_register(name) == tb.kept_bits(REGISTERS[name])
    await tb.status(busy=1)


def fault(code: ErrorCode, detail: int, address: int) -> int:
    return fault_layout.const({"code": code, "detail": detail, "address": address}).as_bits()


@cocotb.test()
async def flags_and_interrupt(dut):
    """Each flag is raised by its event, seen by its interrupt, and cleared by its bit alone."""
    tb = await RegisterBench.begun(dut)
    status = REGISTERS["STATUS"]
    enable = REGISTERS["INTERRUPT_ENABLE"]
    address = 0x123456789ABCDEF0
    events = {
        "done": lambda: tb.pulse(job_done=1, chain_done=1),
        "job_done": lambda: tb.pulse(job_done=1, job_interrupt=1),
        "error": lambda: tb.pulse(fault_valid=1, fault=fault(ErrorCode.RESERVED_BITS, 84, address)),
        "access_error": lambda: tb.write_register("TAG", 0, AxiResp.SLVERR),
    }
    assert {field.name for field in enable.fields} == set(events)
    for flag, event in events.items():
        for enabled in enable.fields:
            await tb.write_register("INTERRUPT_ENABLE", enabled.mask)
            await event()
            await tb.clock(2)
            await tb.status(**{flag: 1})
            assert tb.read("irq") == int(enabled.name == flag)
            await tb.write_register("STATUS", status.encode() | ~status.field(flag).mask & 0xFFFFFFFF)
            await tb.status(**{flag: 1})
            await tb.write_register("STATUS", status.field(flag).mask)
            await tb.status()
            assert tb.read("irq") == 0

    await tb.pulse(job_done=1)
    await tb.status()
    await events["error"]()
    await tb.pulse(fault_valid=1, fault=fault(ErrorCode.ABORTED, 0, 0))
    assert await tb.fields("ERROR") == {"code": ErrorCode.RESERVED_BITS, "detail": 84}
    assert await tb.read_register("ERROR_ADDRESS") == address
    for event in events.values():
        await event()
    await tb.status(**dict.fromkeys(events, 1))
    await tb.write_register("CONTROL", REGISTERS["CONTROL"].encode(start=1))
    await tb.status(access_error=1)
    assert await tb.read_register("ERROR") == 0 and await tb.read_register("ERROR_ADDRESS") == 0


@cocotb.test()
async def raised_while_cleared(dut):
    """An event in the very cycle in which its flag is cleared is not lost."""
    tb = await RegisterBench.begun(dut)
    inputs = {"job_done": 1, "job_interrupt": 1, "chain_done": 1, "fault_valid": 1}
    await tb.pulse(**inputs, fault=fault(ErrorCode.ABORTED, 0, 5))
    writing = cocotb.start_soon(tb.write_register("CONTROL", REGISTERS["CONTROL"].encode(start=1)))
    while True:
        await tb.clock()
        if await tb.read_settled("start"):
            break
    await tb.pulse(**inputs, fault=fault(ErrorCode.READ_SLAVE_ERROR, 0, 6))
    await writing
    await tb.status(done=1, job_done=1, error=1)
    assert await tb.fields("ERROR") == {"code": ErrorCode.READ_SLAVE_ERROR, "detail": 0}
    assert await tb.read_register("ERROR_ADDRESS") == 6
