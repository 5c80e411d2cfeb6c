"""Control and status registers over AXI4-Lite: every address, every field, refusals, flags, counters."""

from __future__ import annotations

from collections import Counter as Tally

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from fineq_hw.config import AcceleratorConfig
from fineq_hw.control.structs import counter_events_layout, fault_layout
from fineq_hw.interface.error_codes import ErrorCode
from fineq_hw.interface.registers import ADDRESS_BITS, COUNTERS, REGISTERS, WORD_BYTES, Access, Register, counter_offset
from fineq_hw.lib.axi import SLAVE_PREFIX
from fineq_sim.bench.streams import stalls
from fineq_sim.bench.testbench import parameters, random_source, reset, settle, start_clock
from fineq_sim.reference.payloads import find_config

LAST_WORD = (1 << ADDRESS_BITS) - WORD_BYTES
EVENTS = [counter.name for counter in COUNTERS if counter.name not in ("cycles", "jobs")]


class Bench:
    """The registers, a bus master, and a record of what happens at the ports towards the machine."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.config: AcceleratorConfig = find_config(parameters()["config"])
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, SLAVE_PREFIX), dut.clk, dut.rst)
        self.pulses: Tally[str] = Tally()
        for name in ("busy", "job_done", "job_tag", "job_interrupt", "chain_done", "fault_valid", "fault"):
            getattr(dut, name).value = 0
        dut.current_descriptor.value = 0
        dut.events.value = 0

    @classmethod
    async def begin(cls, dut, stall: float = 0.0) -> Bench:
        start_clock(dut)
        bench = cls(dut)
        await reset(dut)
        cocotb.start_soon(bench._watch())
        if stall:
            write, read = bench.master.write_if, bench.master.read_if
            channels = (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)
            for number, channel in enumerate(channels):
                wait = stalls(random_source(f"channel {number} {stall}"), stall)
                channel.set_pause_generator(iter(wait, None))
        return bench

    async def _watch(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            for name in ("start", "soft_reset"):
                self.pulses[name] += int(getattr(self.dut, name).value)

    async def read_word(self, address: int, expected: AxiResp = AxiResp.OKAY) -> int:
        answer = await self.master.read(address, WORD_BYTES)
        assert answer.resp == expected, f"reading {address:#05x} was answered with {answer.resp.name}"
        return int.from_bytes(answer.data, "little")

    async def write_word(self, address: int, value: int, expected: AxiResp = AxiResp.OKAY) -> None:
        answer = await self.master.write(address, value.to_bytes(WORD_BYTES, "little"))
        assert answer.resp == expected, f"writing {address:#05x} was answered with {answer.resp.name}"

    async def read(self, name: str) -> int:
        register = REGISTERS[name]
        words = [await self.read_word(register.offset + WORD_BYTES * number) for number in range(register.words)]
        return sum(word << 32 * number for number, word in enumerate(words))

    async def write(self, name: str, value: int, expected: AxiResp = AxiResp.OKAY) -> None:
        register = REGISTERS[name]
        for number in range(register.words):
            word = value >> 32 * number & 0xFFFFFFFF
            await self.write_word(register.offset + WORD_BYTES * number, word, expected)

    async def fields(self, name: str) -> dict[str, int]:
        return REGISTERS[name].decode(await self.read(name))

    async def status(self, **expected: int) -> None:
        """These flags of STATUS and no other."""
        got = await self.fields("STATUS")
        assert {flag for flag, value in got.items() if value} == set(expected), f"STATUS is {got}"

    async def pulse(self, **values: int) -> None:
        """Inputs from the machine for one cycle."""
        for name, value in values.items():
            getattr(self.dut, name).value = value
        await RisingEdge(self.dut.clk)
        for name in values:
            getattr(self.dut, name).value = 0

    def kept_bits(self, register: Register) -> int:
        """Bits of a register that keep what is written."""
        kept = sum(field.mask for field in register.fields if field.access is Access.RW)
        return kept & ((1 << self.config.address_bits) - 1) if register.locked else kept


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
    bench = await Bench.begin(dut)
    known = by_address()
    unmapped = [address for address in range(0, LAST_WORD + 1, WORD_BYTES) if address not in known]
    for address, register in known.items():
        expected = register.reset(bench.config) >> 8 * (address - register.offset) & 0xFFFFFFFF
        assert await bench.read_word(address) == expected, register.name
    for address in unmapped:
        assert await bench.read_word(address, AxiResp.SLVERR) == 0
    assert await bench.fields("ACCESS_ERROR") == {"code": ErrorCode.UNMAPPED_READ, "register": unmapped[0]}
    await bench.status(access_error=1)
    await bench.write("STATUS", REGISTERS["STATUS"].encode(access_error=1))
    await bench.status()
    assert await bench.read("ACCESS_ERROR") == 0


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5])
async def writes_what_may_be_written(dut, stall):
    """Random bytes to random addresses; what is kept and what is refused follows from the register map."""
    bench = await Bench.begin(dut, stall)
    source = random_source(f"writes {stall}")
    known = by_address()
    stored = {name: register.reset(bench.config) for name, register in REGISTERS.items() if bench.kept_bits(register)}
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
        answer = await bench.master.write(address + first, raw)
        if register is not None and register.writable:
            assert answer.resp == AxiResp.OKAY
            shift = 8 * (address - register.offset + first)
            mask = ((1 << 8 * count) - 1) << shift & bench.kept_bits(register)
            value = int.from_bytes(raw, "little") << shift & mask
            stored[register.name] = stored[register.name] & ~mask | value
            assert await bench.read(register.name) == stored[register.name], register.name
        else:
            assert answer.resp == AxiResp.SLVERR
            code = ErrorCode.READ_ONLY if register else ErrorCode.UNMAPPED_WRITE
            assert await bench.fields("ACCESS_ERROR") == {"code": code, "register": address}
            await bench.status(access_error=1)
            await bench.write("STATUS", clear)
    for name, value in stored.items():
        assert await bench.read(name) == value, name
    for name in ("descriptor", "memory_base", "memory_limit"):
        assert int(getattr(dut, name).value) == stored[name.upper()]
    assert not +bench.pulses, f"nobody asked for {bench.pulses}"


@cocotb.test()
async def reads_and_writes_at_once(dut):
    """Both directions of the bus are independent of each other."""
    bench = await Bench.begin(dut, 0.3)
    source = random_source("both")
    values = [source.getrandbits(64) for _ in range(30)]
    magic = REGISTERS["MAGIC"]

    async def reader() -> None:
        for _ in range(60):
            assert await bench.read("MAGIC") == magic.reset(bench.config)

    reading = cocotb.start_soon(reader())
    for value in values:
        await bench.write("DESCRIPTOR", value)
    await reading
    assert await bench.read("DESCRIPTOR") == values[-1]


@cocotb.test()
async def answers_in_order(dut):
    """Accesses that do not wait for the answer to the one before; each gets its own."""
    bench = await Bench.begin(dut, 0.6)
    source = random_source("order")
    legal, illegal = REGISTERS["DESCRIPTOR"].offset, REGISTERS["TAG"].offset
    identification = [REGISTERS[name].offset for name in ("MAGIC", "VERSION", "ARRAY_SIZE", "TILE")]
    expected = {address: await bench.read_word(address) for address in identification}
    writes = [source.choice((legal, illegal)) for _ in range(40)]
    reads = [source.choice(identification) for _ in range(40)]
    write_events = [
        bench.master.init_write(address, number.to_bytes(4, "little")) for number, address in enumerate(writes)
    ]
    read_events = [bench.master.init_read(address, WORD_BYTES) for address in reads]
    for address, event in zip(writes, write_events, strict=True):
        await event.wait()
        assert event.data.resp == (AxiResp.OKAY if address == legal else AxiResp.SLVERR)
    for address, event in zip(reads, read_events, strict=True):
        await event.wait()
        assert int.from_bytes(event.data.data, "little") == expected[address]
    assert await bench.read_word(legal) == max(number for number, address in enumerate(writes) if address == legal)


@cocotb.test()
async def commands(dut):
    """Each command for one cycle; a start while busy is refused with everything else in the write."""
    bench = await Bench.begin(dut)
    control = REGISTERS["CONTROL"]
    await bench.write("CONTROL", control.encode(start=1))
    assert bench.pulses == {"start": 1, "soft_reset": 0}
    await bench.write("CONTROL", control.encode(soft_reset=1))
    assert bench.pulses == {"start": 1, "soft_reset": 1}
    await bench.master.write(control.offset + 1, b"\xff\xff\xff")  # the lowest byte has no strobe
    await bench.write("CONTROL", 0xFFFFFFF8)
    assert bench.pulses == {"start": 1, "soft_reset": 1}
    assert await bench.read("CONTROL") == 0
    await bench.status()

    dut.busy.value = 1
    await bench.write("CONTROL", control.encode(start=1, soft_reset=1, clear_counters=1), AxiResp.SLVERR)
    assert bench.pulses == {"start": 1, "soft_reset": 1}
    await bench.status(busy=1, access_error=1)
    assert await bench.fields("ACCESS_ERROR") == {"code": ErrorCode.START_WHILE_BUSY, "register": control.offset}
    await bench.write("MAGIC", 0, AxiResp.SLVERR)
    first = await bench.fields("ACCESS_ERROR")
    assert first["code"] == ErrorCode.START_WHILE_BUSY, "the first refusal is the one to report"
    assert await bench.read("COUNTER_CYCLES") > 0
    await bench.write("CONTROL", control.encode(soft_reset=1))
    assert bench.pulses == {"start": 1, "soft_reset": 2}
    dut.busy.value = 0
    await bench.write("CONTROL", control.encode(start=1))
    assert bench.pulses == {"start": 2, "soft_reset": 2}
    await bench.status(access_error=1)


@cocotb.test()
async def locked_while_busy(dut):
    """The memory window stays as it is while a chain runs; the other registers are free."""
    bench = await Bench.begin(dut)
    source = random_source("locked")
    before = {name: await bench.read(name) for name in REGISTERS if REGISTERS[name].locked}
    assert before
    dut.busy.value = 1
    for name, value in before.items():
        for number in range(REGISTERS[name].words):
            address = REGISTERS[name].offset + WORD_BYTES * number
            await bench.write_word(address, source.getrandbits(32), AxiResp.SLVERR)
            assert await bench.fields("ACCESS_ERROR") == {"code": ErrorCode.WRITE_WHILE_BUSY, "register": address}
            await bench.write("STATUS", REGISTERS["STATUS"].encode(access_error=1))
        assert await bench.read(name) == value
    for name in ("DESCRIPTOR", "INTERRUPT_ENABLE"):
        await bench.write(name, bench.kept_bits(REGISTERS[name]))
        assert await bench.read(name) == bench.kept_bits(REGISTERS[name])
    await bench.status(busy=1)


def fault(code: ErrorCode, detail: int, address: int) -> int:
    return fault_layout.const({"code": code, "detail": detail, "address": address}).as_bits()


@cocotb.test()
async def flags_and_interrupt(dut):
    """Each flag is raised by its event, seen by its interrupt, and cleared by its bit alone."""
    bench = await Bench.begin(dut)
    status = REGISTERS["STATUS"]
    enable = REGISTERS["INTERRUPT_ENABLE"]
    address = 0x123456789ABCDEF0
    events = {
        "done": lambda: bench.pulse(job_done=1, chain_done=1),
        "job_done": lambda: bench.pulse(job_done=1, job_interrupt=1),
        "error": lambda: bench.pulse(fault_valid=1, fault=fault(ErrorCode.RESERVED_BITS, 84, address)),
        "access_error": lambda: bench.write("TAG", 0, AxiResp.SLVERR),
    }
    assert {field.name for field in enable.fields} == set(events)
    for flag, event in events.items():
        for enabled in enable.fields:
            await bench.write("INTERRUPT_ENABLE", enabled.mask)
            await event()
            await ClockCycles(dut.clk, 2)
            await bench.status(**{flag: 1})
            assert int(dut.irq.value) == int(enabled.name == flag)
            await bench.write("STATUS", status.encode() | ~status.field(flag).mask & 0xFFFFFFFF)
            await bench.status(**{flag: 1})
            await bench.write("STATUS", status.field(flag).mask)
            await bench.status()
            assert dut.irq.value == 0

    await bench.pulse(job_done=1)
    await bench.status()
    await events["error"]()
    await bench.pulse(fault_valid=1, fault=fault(ErrorCode.ABORTED, 0, 0))
    assert await bench.fields("ERROR") == {"code": ErrorCode.RESERVED_BITS, "detail": 84}
    assert await bench.read("ERROR_ADDRESS") == address
    for event in events.values():
        await event()
    await bench.status(**dict.fromkeys(events, 1))
    await bench.write("CONTROL", REGISTERS["CONTROL"].encode(start=1))
    await bench.status(access_error=1)
    assert await bench.read("ERROR") == 0 and await bench.read("ERROR_ADDRESS") == 0


@cocotb.test()
async def raised_while_cleared(dut):
    """An event in the very cycle in which its flag is cleared is not lost."""
    bench = await Bench.begin(dut)
    inputs = {"job_done": 1, "job_interrupt": 1, "chain_done": 1, "fault_valid": 1}
    await bench.pulse(**inputs, fault=fault(ErrorCode.ABORTED, 0, 5))
    writing = cocotb.start_soon(bench.write("CONTROL", REGISTERS["CONTROL"].encode(start=1)))
    while True:
        await RisingEdge(dut.clk)
        await settle()
        if dut.start.value == 1:
            break
    await bench.pulse(**inputs, fault=fault(ErrorCode.READ_SLAVE_ERROR, 0, 6))
    await writing
    await bench.status(done=1, job_done=1, error=1)
    assert await bench.fields("ERROR") == {"code": ErrorCode.READ_SLAVE_ERROR, "detail": 0}
    assert await bench.read("ERROR_ADDRESS") == 6


@cocotb.test()
async def results_of_jobs(dut):
    bench = await Bench.begin(dut)
    source = random_source("jobs")
    for number in range(1, 8):
        tag, address = source.getrandbits(32), source.getrandbits(64)
        dut.current_descriptor.value = address
        await bench.pulse(job_done=1, job_tag=tag)
        assert await bench.read("JOBS_DONE") == number
        assert await bench.read("TAG") == tag
        assert await bench.read("CURRENT_DESCRIPTOR") == address
        assert await bench.read("COUNTER_JOBS") == number
    await bench.write("CONTROL", REGISTERS["CONTROL"].encode(clear_counters=1))
    assert await bench.read("COUNTER_JOBS") == 0
    assert await bench.read("JOBS_DONE") == 7


@cocotb.test()
async def counts_events(dut):
    """Every counter against an independent count."""
    bench = await Bench.begin(dut)
    source = random_source("events")
    layout = counter_events_layout(bench.config)
    limits = {counter.name: (1 << counter.event(bench.config).width) - 1 for counter in COUNTERS}
    for _ in range(2):
        expected: Tally[str] = Tally()
        for _ in range(500):
            values = {name: source.choice((0, limits[name], source.randint(0, limits[name]))) for name in EVENTS}
            busy = source.getrandbits(1)
            dut.busy.value = busy
            dut.events.value = layout.const(values).as_bits()
            expected.update(values | {"cycles": busy})
            await RisingEdge(dut.clk)
        dut.busy.value = 0
        dut.events.value = 0
        await ClockCycles(dut.clk, 2)
        for counter in COUNTERS:
            got = await bench.read(f"COUNTER_{counter.name.upper()}")
            assert got == expected[counter.name], f"{counter.name} is {got}, expected {expected[counter.name]}"
        await bench.write("CONTROL", REGISTERS["CONTROL"].encode(clear_counters=1))
        for counter in COUNTERS:
            assert await bench.read(f"COUNTER_{counter.name.upper()}") == 0


@cocotb.test(skip=cocotb.SIM_NAME != "Icarus Verilog")  # Verilator shows the ports alone
async def two_words_of_a_counter_belong_together(dut):
    """Read while the low word wraps around: one count after the other is seen, none is torn."""
    bench = await Bench.begin(dut)
    offset = counter_offset("cycles")
    torn = set()
    for distance in range(1, 25):
        dut.busy.value = 0
        await ClockCycles(dut.clk, 3)
        dut.count_cycles.low.value = (1 << 32) - distance
        dut.count_cycles.high.value = 7
        await RisingEdge(dut.clk)
        dut.busy.value = 1
        low = await bench.read_word(offset)
        await ClockCycles(dut.clk, 30)  # the counter has wrapped around by now
        high = await bench.read_word(offset + WORD_BYTES)
        value = (high << 32 | low) - (8 << 32)
        assert abs(value) < 64, f"the two words make {value:+}, far from where the counter was"
        torn.add(high)
    assert torn == {7, 8}, "the counter did not wrap around near a read"


@cocotb.test(skip=cocotb.SIM_NAME != "Icarus Verilog")  # Verilator shows the ports alone
async def a_counter_cleared_while_read_is_not_torn(dut):
    """Whenever the clear comes: what is read is the count before it or the one after it."""
    bench = await Bench.begin(dut)
    offset, count = counter_offset("cycles"), (7 << 32) + 5
    seen = set()
    for lead in range(-7, 8):  # cycles from the clear to the read
        dut.count_cycles.low.value = count & 0xFFFFFFFF
        dut.count_cycles.high.value = count >> 32
        await RisingEdge(dut.clk)
        clear = bench.write("CONTROL", REGISTERS["CONTROL"].encode(clear_counters=1))
        read = bench.read_word(offset)
        first, second = (clear, read) if lead >= 0 else (read, clear)
        running = cocotb.start_soon(first)
        for _ in range(abs(lead)):
            await RisingEdge(dut.clk)
        later = await second
        earlier = await running
        low = later if lead >= 0 else earlier
        high = await bench.read_word(offset + WORD_BYTES)
        assert (high << 32 | low) in (0, count), f"clear {lead} cycles before the read: {high:#x}, {low:#x}"
        seen.add(low)
    assert seen == {0, 5}, "the clear was always before, or always after the read"
