"""Life of a chain of jobs: start, hand-over from job to job, and the orderly end when something goes wrong."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from fineq_hw.config import AcceleratorConfig
from fineq_hw.control.structs import checked_job_layout, fault_layout
from fineq_hw.interface.error_codes import READ_FAULT, WRITE_FAULT, ErrorCode
from fineq_hw.interface.jobs import POINTER_BITS
from fineq_hw.lib.axi import bus_error_layout
from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import MachineBlock, Role, Synthesis

_BUS_ERRORS = READ_FAULT >> 3
"""Upper bits of the codes of bus errors; below them a bit for writes and the response."""

assert WRITE_FAULT == READ_FAULT + 4 and READ_FAULT % 8 == 0


class JobControl(VerilogComponent):
    """Starts the blocks for one job after the other.

    A job begins with `job_start` and ends when no block is working and every write has been answered; it stays on
    offer on `jobs` so long, which holds it still for the blocks. The next one starts two cycles later.

    A bus error or a soft reset ends the chain: both engines are stopped, and when nothing is under way any more
    one cycle of `flush` resets engines, descriptor unit and data path. The first reason is reported.

    A memory that does not answer ends the chain, or an abort, at once: the engines remember over the flush what is
    under way.

    Ports:
        start: of the chain, at `descriptor`; only while not `busy`.
        soft_reset: for one cycle; without effect while not `busy`.
        jobs: from the descriptor unit.
        working: some block is not through with the job.
        memory_timeout: from the watchdog.
        read_error, read_idle, write_error, write_idle: of the engines.
        job_start: for one cycle.
        stop: of the engines.
        flush: resets everything but the registers and this component.
        busy, job_done, chain_done, fault_valid, fault, current_descriptor: see `ControlStatusRegisters`.
    """

    KIND = "job_control"
    ROLE = Role(MachineBlock.CONTROL, Synthesis.KEEP)

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(POINTER_BITS),
                "soft_reset": In(1),
                "jobs": In(stream.Signature(checked_job_layout(config))),
                "working": In(1),
                "memory_timeout": In(1),
                "read_error": In(bus_error_layout(config)),
                "read_idle": In(1),
                "write_error": In(bus_error_layout(config)),
                "write_idle": In(1),
                "job_start": Out(1),
                "stop": Out(1),
                "flush": Out(1),
                "busy": Out(1),
                "job_done": Out(1),
                "chain_done": Out(1),
                "fault_valid": Out(1),
                "fault": Out(fault_layout),
                "current_descriptor": Out(POINTER_BITS),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (self.config.address_bits,)

    def elaborate(self, platform) -> Module:
        m = Module()
        checked = self.jobs.payload
        broken = Signal()
        interrupted = Signal()
        reason = Signal(fault_layout)  # why the chain is being stopped
        m.d.comb += [
            broken.eq(self.read_error.valid | self.write_error.valid),
            interrupted.eq(broken | self.soft_reset | self.memory_timeout),
        ]
        with m.FSM() as state:
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += self.current_descriptor.eq(self.descriptor)
                    m.next = "NEXT"
            with m.State("NEXT"):
                with m.If(self.jobs.valid & ~interrupted):
                    m.d.sync += self.current_descriptor.eq(checked.address)
                with m.If(self.memory_timeout):
                    m.next = "FLUSH"
                with m.Elif(interrupted):
                    m.next = "STOP"
                with m.Elif(self.jobs.valid & (checked.error != ErrorCode.NONE)):
                    m.d.comb += [
                        self.jobs.ready.eq(1),
                        self.fault_valid.eq(1),
                        self.fault.code.eq(checked.error),
                        self.fault.detail.eq(checked.detail),
                        self.fault.address.eq(checked.address),
                    ]
                    m.next = "IDLE"
                with m.Elif(self.jobs.valid):
                    m.d.comb += self.job_start.eq(1)
                    m.next = "WORK"
            with m.State("WORK"):
                with m.If(self.memory_timeout):
                    m.next = "FLUSH"
                with m.Elif(interrupted):
                    m.next = "STOP"
                with m.Elif(~self.working & self.write_idle):
                    m.d.comb += [
                        self.jobs.ready.eq(1),
                        self.job_done.eq(1),
                        self.chain_done.eq(checked.job.last),
                    ]
                    m.next = "NEXT"
                    with m.If(checked.job.last):
                        m.next = "IDLE"
            with m.State("STOP"):
                with m.If((self.read_idle & self.write_idle) | self.memory_timeout):
                    m.next = "FLUSH"
            with m.State("FLUSH"):
                m.d.comb += [self.fault_valid.eq(1), self.fault.eq(reason)]
                m.next = "IDLE"

        m.d.comb += [
            self.busy.eq(~state.ongoing("IDLE")),
            self.stop.eq(state.ongoing("STOP")),
            self.flush.eq(state.ongoing("FLUSH")),
        ]
        error = Signal(bus_error_layout(self.config))
        m.d.comb += error.eq(Mux(self.read_error.valid, self.read_error, self.write_error))
        with m.If(state.ongoing("NEXT") | state.ongoing("WORK")):
            with m.If(broken):
                m.d.sync += [
                    reason.code.eq(Cat(error.response, ~self.read_error.valid, Const(_BUS_ERRORS))),
                    reason.address.eq(error.address),
                ]
            with m.Else():
                code = Mux(self.memory_timeout, ErrorCode.MEMORY_TIMEOUT, ErrorCode.ABORTED)
                m.d.sync += [reason.code.eq(code), reason.address.eq(self.current_descriptor)]
        return m
