"""Control and status registers: what they count and keep of finished jobs. Run by `csr_bench`."""

from __future__ import annotations

from collections import Counter as Tally

import cocotb

from fineq_hw.control.structs import counter_events_layout
from fineq_hw.interface.registers import COUNTERS, REGISTERS, WORD_BYTES, counter_offset
from fineq_sim.bench.register_bench import RegisterBench
from fineq_sim.bench.testbench import random_source

EVENTS = [counter.name for counter in COUNTERS if counter.name not in ("cycles", "jobs")]


@cocotb.test()
async def results_of_jobs(dut):
    tb = await RegisterBench.begun(dut)
    source = random_source("jobs")
    for number in range(1, 8):
        tag, address = source.getrandbits(32), source.getrandbits(64)
        tb.drive(current_descriptor=address)
        await tb.pulse(job_done=1, job_tag=tag)
        assert await tb.read_register("JOBS_DONE") == number
        assert await tb.read_register("TAG") == tag
        assert await tb.read_register("CURRENT_DESCRIPTOR") == address
        assert await tb.read_register("COUNTER_JOBS") == number
    await tb.write_register("CONTROL", REGISTERS["CONTROL"].encode(clear_counters=1))
    assert await tb.read_register("COUNTER_JOBS") == 0
    assert await tb.read_register("JOBS_DONE") == 7


@cocotb.test()
async def counts_events(dut):
    """Every counter against an independent count."""
    tb = await RegisterBench.begun(dut)
    source = random_source("events")
    layout = counter_events_layout(tb.config)
    limits = {counter.name: (1 << counter.event_bits(tb.config)) - 1 for counter in COUNTERS}
    for _ in range(2):
        expected: Tally[str] = Tally()
        for _ in range(500):
            values = {name: source.choice((0, limits[name], source.randint(0, limits[name]))) for name in EVENTS}
            busy = source.getrandbits(1)
            tb.drive(busy=busy)
            tb.drive(events=layout.const(values).as_bits())
            expected.update(values | {"cycles": busy})
            await tb.clock()
        tb.drive(busy=0)
        tb.drive(events=0)
        await tb.clock(2)
        for counter in COUNTERS:
            got = await tb.read_register(f"COUNTER_{counter.name.upper()}")
            assert got == expected[counter.name], f"{counter.name} is {got}, expected {expected[counter.name]}"
        await tb.write_register("CONTROL", REGISTERS["CONTROL"].encode(clear_counters=1))
        for counter in COUNTERS:
            assert await tb.read_register(f"COUNTER_{counter.name.upper()}") == 0


@cocotb.test(skip=cocotb.SIM_NAME != "Icarus Verilog")  # Verilator shows the ports alone
async def two_words_of_a_counter_belong_together(dut):
    """Read while the low word wraps around: one count after the other is seen, none is torn."""
    tb = await RegisterBench.begun(dut)
    offset = counter_offset("cycles")
    torn = set()
    for distance in range(1, 25):
        tb.drive(busy=0)
        await tb.clock(3)
        dut.count_cycles.low.value = (1 << 32) - distance
        dut.count_cycles.high.value = 7
        await tb.clock()
        tb.drive(busy=1)
        low = await tb.read_word(offset)
        await tb.clock(30)  # the counter has wrapped around by now
        high = await tb.read_word(offset + WORD_BYTES)
        value = (high << 32 | low) - (8 << 32)
        assert abs(value) < 64, f"the two words make {value:+}, far from where the counter was"
        torn.add(high)
    assert torn == {7, 8}, "the counter did not wrap around near a read"


@cocotb.test(skip=cocotb.SIM_NAME != "Icarus Verilog")  # Verilator shows the ports alone
async def a_counter_cleared_while_read_is_not_torn(dut):
    """Whenever the clear comes: what is read is the count before it or the one after it."""
    tb = await RegisterBench.begun(dut)
    offset, count = counter_offset("cycles"), (7 << 32) + 5
    seen = set()
    for lead in range(-7, 8):  # cycles from the clear to the read
        dut.count_cycles.low.value = count & 0xFFFFFFFF
        dut.count_cycles.high.value = count >> 32
        await tb.clock()
        clear = tb.write_register("CONTROL", REGISTERS["CONTROL"].encode(clear_counters=1))
        read = tb.read_word(offset)
        first, second = (clear, read) if lead >= 0 else (read, clear)
        running = cocotb.start_soon(first)
        for _ in range(abs(lead)):
            await tb.clock()
        later = await second
        earlier = await running
        low = later if lead >= 0 else earlier
        assert low is not None  # what `read` returns
        high = await tb.read_word(offset + WORD_BYTES)
        assert (high << 32 | low) in (0, count), f"clear {lead} cycles before the read: {high:#x}, {low:#x}"
        seen.add(low)
    assert seen == {0, 5}, "the clear was always before, or always after the read"
