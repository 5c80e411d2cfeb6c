"""Life of a chain: jobs start when they are legal and end when all is done; whatever goes wrong ends in idle."""

from __future__ import annotations

from amaranth.hdl import Mux, Signal, Value

from fineq_formal.checkers.streams import check_streams
from fineq_formal.configurations import TINY
from fineq_formal.proof import Proof
from fineq_formal.proofs.dma.transfers import settled
from fineq_formal.setup import Setup, implies
from fineq_hw.control.job_control import JobControl
from fineq_hw.interface.error_codes import READ_FAULT, WRITE_FAULT, ErrorCode


def _add(setup: Setup) -> JobControl:
    dut = setup.add("dut", JobControl(TINY))
    setup.assume(implies(dut.start, ~dut.busy))
    check_streams(setup, dut)
    flushed = setup.past(dut.flush, "flush")
    for name, error in {"read": dut.read_error, "write": dut.write_error}.items():
        # As the engines keep it, until they are reset.
        kept = setup.past(Value.cast(error), f"{name}_error")
        setup.assume(implies(kept[0] & ~flushed, Value.cast(error) == kept))
        setup.assume(implies(flushed, ~error.valid))
    return dut


def _life(setup: Setup) -> None:
    m = setup.m
    dut = _add(setup)
    checked = dut.jobs.payload
    legal = checked.error == ErrorCode.NONE
    working = Signal()  # a job has been started and has not ended
    ends = dut.job_done | dut.flush
    with m.If(dut.job_start):
        m.d.sync += working.eq(1)
    with m.Elif(ends):
        m.d.sync += working.eq(0)
    setup.check(implies(dut.job_start, dut.jobs.valid & legal & ~working), "only a legal job is started, one at a time")
    setup.check(implies(dut.job_start, ~dut.jobs.ready), "the job is held while blocks work on it")
    setup.check(implies(dut.job_done, working & ~dut.working & dut.write_idle), "done when all is done and answered")
    setup.check(implies(dut.job_done, dut.jobs.ready), "the job is given back when it is done")
    setup.check(implies(working & dut.jobs.ready, dut.job_done), "and not before")
    setup.check(implies(dut.chain_done, dut.job_done & checked.job.last), "the chain is done with its last job")
    setup.check(~(dut.job_done & dut.fault_valid), "a job that is done has no fault")
    setup.check(
        implies(dut.fault_valid | dut.chain_done | dut.flush | dut.job_start | dut.stop, dut.busy), "nothing in idle"
    )
    over = setup.past(dut.fault_valid | dut.chain_done, "over")
    setup.check(implies(over, ~dut.busy), "a chain is over with its fault or its last job")
    was_busy = setup.past(dut.busy, "busy")
    setup.check(implies(was_busy & ~dut.busy, over), "and only then")


def _faults(setup: Setup) -> None:
    """The first reason is the one that is reported."""
    m = setup.m
    dut = _add(setup)
    read, write = dut.read_error, dut.write_error
    broken = read.valid | write.valid
    timeout = dut.memory_timeout
    interrupted = broken | dut.soft_reset | timeout
    stopping = Signal()
    code, address = Signal(8), Signal(64)
    state_open = dut.busy & ~stopping
    with m.If(state_open & interrupted & ~dut.flush):
        m.d.sync += stopping.eq(1)
        with m.If(read.valid):
            m.d.sync += [code.eq(READ_FAULT + read.response), address.eq(read.address)]
        with m.Elif(write.valid):
            m.d.sync += [code.eq(WRITE_FAULT + write.response), address.eq(write.address)]
        with m.Else():
            reason = Mux(timeout, ErrorCode.MEMORY_TIMEOUT, ErrorCode.ABORTED)
            m.d.sync += [code.eq(reason), address.eq(dut.current_descriptor)]
    with m.If(dut.flush):
        m.d.sync += stopping.eq(0)
    for error in (read, write):
        setup.assume(implies(error.valid, error.response[1]))
    setup.check(implies(state_open & interrupted, ~dut.job_done & ~dut.job_start), "nothing begins or ends any more")
    setup.check(
        implies(dut.flush, stopping & dut.fault_valid), "a flush ends a chain that was stopped, with its reason"
    )
    setup.check(implies(dut.flush, dut.fault.code == code), "the first reason is reported")
    setup.check(implies(dut.flush, dut.fault.address == address), "with its address")
    setup.check(dut.stop == (stopping & ~dut.flush), "both engines are stopped until the flush")
    idle = dut.stop & dut.read_idle & dut.write_idle
    due = setup.past(idle | ((state_open | dut.stop) & timeout), "due")
    setup.check(dut.flush == due, "the flush comes when both engines are idle or the memory is silent, and only then")
    refused = dut.fault_valid & ~dut.flush
    checked = dut.jobs.payload
    setup.check(implies(refused, dut.jobs.valid & dut.jobs.ready), "a refused descriptor is taken")
    setup.check(implies(refused, dut.fault.code == checked.error), "its reason is reported")
    setup.check(implies(refused, dut.fault.address == checked.address), "and its address")


def _ends(setup: Setup) -> None:
    """Once interrupted, a chain is over as soon as the engines let it."""
    dut = _add(setup)
    interrupted = dut.busy & (dut.soft_reset | dut.memory_timeout | dut.read_error.valid | dut.write_error.valid)
    waiting = Signal()
    setup.m.d.sync += waiting.eq(Mux(dut.flush, 0, waiting | interrupted))
    both = dut.read_idle & dut.write_idle
    setup.check(
        implies(settled(setup, waiting & both, 3, "idle"), ~dut.busy), "over 3 cycles after the engines are idle"
    )


PROOFS: tuple[Proof, ...] = (
    Proof(
        "control/job_control/life",
        "Jobs start when legal, are held while worked on, and end when all is answered",
        _life,
        short=True,
    ),
    Proof(
        "control/job_control/faults",
        "A bus error or abort stops both engines and flushes when they are idle, a silent memory flushes at once; the "
        "first reason is reported",
        _faults,
        short=True,
    ),
    Proof("control/job_control/ends", "An interrupted chain is over within 3 cycles of both engines being idle", _ends),
)
