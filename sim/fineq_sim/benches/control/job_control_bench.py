"""Life of a chain of jobs against a model: hand-over, refused descriptors, bus errors and aborts at random moments."""

from __future__ import annotations

import cocotb

from fineq_hw.config import AcceleratorConfig
from fineq_hw.control.structs import checked_job_layout, fault_layout
from fineq_hw.interface.bus import Response
from fineq_hw.interface.error_codes import READ_FAULT, WRITE_FAULT, ErrorCode
from fineq_hw.lib.axi import bus_error_layout
from fineq_hw.lib.machine_streams import job_layout
from fineq_sim.bench.bench import Bench
from fineq_sim.bench.testbench import settle

PULSES = ("job_start", "job_done", "chain_done", "fault_valid", "flush", "stop")
QUIET = dict.fromkeys(PULSES, 0)


class JobControlBench(Bench[AcceleratorConfig]):
    """Inputs are set for one cycle at a time; `step` checks every output in it and then clocks."""

    inputs = (
        "start",
        "descriptor",
        "soft_reset",
        "working",
        "memory_timeout",
        "read_error",
        "write_error",
        "jobs__valid",
        "jobs__payload",
    )

    def __init__(self, dut) -> None:
        super().__init__(dut, salt="job control")
        self.drive(read_idle=1, write_idle=1)

    async def begin(self) -> None:
        await super().begin()
        await self.step(busy=0)

    def offer(self, address: int, last: bool = False, error: ErrorCode = ErrorCode.NONE, detail: int = 0) -> None:
        layout = checked_job_layout(self.config)
        job = job_layout(self.config).const({"last": int(last)})
        payload = layout.const({"job": job, "address": address, "error": error, "detail": detail})
        self.drive(jobs__valid=1, jobs__payload=payload.as_value().value)

    def error(self, valid: bool, response: Response = Response.OKAY, address: int = 0) -> int:
        fields = {"valid": int(valid), "response": response, "address": address}
        return bus_error_layout(self.config).const(fields).as_value().value

    async def step(self, busy: int = 1, ready: int = 0, **pulses: int) -> None:
        """One cycle with exactly these pulses."""
        await settle()
        got = {name: self.read(name) for name in PULSES}
        assert got == QUIET | pulses, {name: value for name, value in got.items() if value}
        assert self.read("busy") == busy, f"busy is {self.read('busy')}"
        assert self.read("jobs__ready") == ready, f"jobs.ready is {self.read('jobs__ready')}"
        await self.clock()

    async def pause(self, longest: int, busy: int = 1, **pulses: int) -> None:
        for _ in range(self.source.randrange(longest + 1)):
            await self.step(busy, **pulses)

    async def start(self, address: int) -> None:
        self.drive(start=1, descriptor=address)
        await self.step(busy=0)
        self.drive(start=0, descriptor=0)
        await self.is_current(address)

    async def is_current(self, address: int) -> None:
        got = await self.read_settled("current_descriptor")
        assert got == address, f"current descriptor {got:#x}, not {address:#x}"

    async def begin_job(self, address: int, last: bool = False) -> None:
        """The descriptor unit offers a job; the blocks are busy from the next cycle on."""
        await self.pause(3)
        self.offer(address, last)
        await self.step(job_start=1)
        self.drive(working=1)
        await self.is_current(address)

    async def finish_job(self, last: bool = False) -> None:
        """The blocks are done first, the last write is answered later."""
        await self.pause(3)
        self.drive(working=0, write_idle=0)
        await self.pause(3)
        self.drive(write_idle=1)
        await self.step(ready=1, job_done=1, chain_done=int(last))
        self.drive(jobs__valid=0)

    async def fault(self, code: int, address: int, detail: int = 0) -> None:
        """The fault that is being reported in this cycle."""
        fault = fault_layout.from_bits(await self.read_settled("fault"))
        got = (fault.code, fault.detail, fault.address)
        assert got == (ErrorCode(code), detail, address), f"fault {got}"

    async def is_stopped(self, code: int, address: int) -> None:
        """From the cycle after the reason: engines stop, drain, one flush with the report, then idle."""
        self.drive(soft_reset=0, read_idle=0, write_idle=0)
        await self.pause(4, stop=1)
        first, second = self.source.sample(("read_idle", "write_idle"), 2)
        self.drive(**{first: 1})
        await self.pause(4, stop=1)
        self.drive(**{second: 1})
        await self.step(stop=1)
        await self.fault(code, address)
        await self.step(flush=1, fault_valid=1)
        self.drive(working=0, jobs__valid=0, read_error=0, write_error=0)  # what the flush does
        await self.step(busy=0)


@cocotb.test()
async def jobs_follow_one_another(dut):
    """Two cycles from the end of a job to the next start when it is already there."""
    tb = await JobControlBench.begun(dut)
    for length in (1, 2, 5):
        await tb.start(0x100)
        for number in range(length):
            last = number == length - 1
            await tb.begin_job(0x100 + 128 * number, last)
            await tb.finish_job(last)
        await tb.step(busy=0)
    await tb.start(0x800)
    tb.offer(0x800)
    for number in (0, 1):
        await tb.step(job_start=1)
        tb.offer(0x800 + 128 * number, last=bool(number))
        await tb.step(ready=1, job_done=1, chain_done=number)
        tb.offer(0x880, last=True)  # the next one, in the cycle after
    tb.drive(jobs__valid=0)
    await tb.step(busy=0)


@cocotb.test()
async def a_job_waits_for_blocks_and_writes(dut):
    """It is not over while either is busy, however long."""
    tb = await JobControlBench.begun(dut)
    await tb.start(0x40)
    await tb.begin_job(0x40, last=True)
    for working, write_idle in ((1, 1), (1, 0), (0, 0), (1, 0), (1, 1)):
        tb.drive(working=working, write_idle=write_idle)
        for _ in range(20):
            await tb.step()
    tb.drive(read_idle=0)  # of no meaning for the end
    await tb.finish_job(last=True)
    tb.drive(read_idle=1)
    await tb.step(busy=0)


@cocotb.test()
async def refused_descriptors_end_the_chain(dut):
    tb = await JobControlBench.begun(dut)
    for code in (ErrorCode.RESERVED_BITS, ErrorCode.NEXT_OVERLAPPED):
        await tb.start(0x100)
        await tb.begin_job(0x100)
        await tb.finish_job()
        await tb.pause(3)
        tb.offer(0x180, last=True, error=code, detail=0x5A)
        await tb.fault(code, 0x180, 0x5A)
        await tb.step(ready=1, fault_valid=1)
        tb.drive(jobs__valid=0)
        await tb.step(busy=0)
        await tb.is_current(0x180)


@cocotb.test()
async def bus_errors_stop_the_chain(dut):
    """While a descriptor is fetched and while a job runs; a read error comes first when both are there."""
    tb = await JobControlBench.begun(dut)
    address = (1 << tb.config.address_bits) - 16
    for response in (Response.SLVERR, Response.DECERR):
        for working in (False, True):
            for failing in (("read",), ("write",), ("read", "write")):
                await tb.start(0x300)
                if working:
                    await tb.begin_job(0x300)
                    await tb.pause(5)
                for number, engine in enumerate(failing):
                    tb.drive(**{f"{engine}_error": tb.error(True, response, address - 64 * number)})
                await tb.step()
                base = READ_FAULT if failing[0] == "read" else WRITE_FAULT
                await tb.is_stopped(base + response.value, address)


@cocotb.test()
async def an_error_is_seen_before_a_job_starts_or_ends(dut):
    tb = await JobControlBench.begun(dut)
    await tb.start(0x300)
    tb.offer(0x300)
    tb.drive(read_error=tb.error(True, Response.SLVERR, 0x20))
    await tb.step()
    await tb.is_stopped(READ_FAULT + Response.SLVERR.value, 0x20)
    await tb.start(0x300)
    await tb.begin_job(0x300, last=True)
    tb.drive(working=0, write_error=tb.error(True, Response.DECERR, 0x40))
    await tb.step()
    await tb.is_stopped(WRITE_FAULT + Response.DECERR.value, 0x40)


@cocotb.test()
async def a_silent_memory_ends_everything_at_once(dut):
    """While a descriptor is fetched, while a job runs, and during an abort, whose reason stays."""
    tb = JobControlBench(dut)
    await tb.begin()
    for stage in ("fetch", "work", "abort", "late"):
        await tb.start(0x500)
        code = ErrorCode.MEMORY_TIMEOUT
        if stage in ("work", "late"):
            await tb.begin_job(0x500)
        if stage in ("abort", "late"):
            tb.drive(soft_reset=1, read_idle=0, write_idle=0)
            await tb.step()
            tb.drive(soft_reset=0)
            await tb.pause(5, stop=1)
            code = ErrorCode.ABORTED
        tb.drive(memory_timeout=1, read_idle=0)
        await tb.step(**({"stop": 1} if stage in ("abort", "late") else {}))
        tb.drive(memory_timeout=0, working=0, jobs__valid=0)
        await tb.fault(code, 0x500)
        await tb.step(flush=1, fault_valid=1)
        await tb.step(busy=0)
        tb.drive(read_idle=1, write_idle=1)
    tb.drive(memory_timeout=1)  # of no meaning to an idle machine
    await tb.step(busy=0)
    tb.drive(memory_timeout=0)
    await tb.start(0x600)
    await tb.begin_job(0x600, last=True)
    await tb.finish_job(last=True)
    await tb.step(busy=0)


@cocotb.test()
async def soft_reset_ends_the_chain(dut):
    """At many moments; without effect on an idle machine; a bus error that comes later does not replace the reason."""
    tb = await JobControlBench.begun(dut)
    tb.drive(soft_reset=1)
    await tb.step(busy=0)
    tb.drive(soft_reset=0)
    for moment in range(12):
        await tb.start(0x500)
        if moment % 3:
            await tb.begin_job(0x500)
            await tb.pause(moment)
        tb.drive(soft_reset=1)
        await tb.step()
        if moment % 2:
            tb.drive(read_error=tb.error(True, Response.SLVERR, 0x10))
        await tb.is_stopped(ErrorCode.ABORTED.value, 0x500)
        await tb.start(0x600)
        await tb.begin_job(0x600, last=True)
        await tb.finish_job(last=True)
        await tb.step(busy=0)
    # The next job is on offer in the very cycle: it is not begun, and the report names the one before.
    await tb.start(0x700)
    await tb.begin_job(0x700)
    await tb.finish_job()
    tb.offer(0x780, last=True)
    tb.drive(soft_reset=1)
    await tb.step()
    await tb.is_current(0x700)
    await tb.is_stopped(ErrorCode.ABORTED.value, 0x700)
