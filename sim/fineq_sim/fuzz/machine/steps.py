"""Does a case to both machines and raises where they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from fineq_hw.interface.error_codes import ErrorCode
from fineq_hw.interface.registers import REGISTERS
from fineq_sim.driver.functional import FunctionalTransport
from fineq_sim.fuzz.machine.cases import Case, Step
from fineq_sim.fuzz.machine.jobs import MEMORY_BASE, MEMORY_BYTES
from fineq_sim.fuzz.machine.pair import PATIENCE, WORK, Difference, Pair, demand

_BUS_ERRORS = tuple(
    code for code in ErrorCode if code.name.startswith(("READ_", "WRITE_")) and code.name.endswith("ERROR")
)
_MOST_JOBS = 40
"""A chain that is longer has no end."""

_FLAGS = REGISTERS["STATUS"].encode(done=1, error=1, access_error=1, job_done=1)
_ENDS = REGISTERS["INTERRUPT_ENABLE"].encode(done=1, error=1)

Outcomes = Counter[str]


def run_case(pair: Pair, case: Case) -> Outcomes:
    """Work through a case.

    Returns:
        What the chains in it came to: `done`, names of error codes, `reset`.

    Raises:
        Difference: the machines disagree.
        SimulatorError: the RTL broke a rule of the bus, or does not answer.
    """
    outcomes: Outcomes = Counter()
    pair.start_anew(case.memory, case.latency, case.stall)
    for step in case.steps:
        if step.kind == "write":
            pair.write_register(*step.values)
        elif step.kind == "read":
            pair.read_register(step.values[0])
        elif step.kind == "fault":
            pair.fault(*step.values)
        else:
            _CHAINS[step.kind](pair, step, case, outcomes)
        pair.compare()
    return outcomes


# -- chains --------------------------------------------------------------------------------------------------------


class _Foretold:
    """What the model says of a chain: memory after each job, where each descriptor lies, and how it ends."""

    def __init__(self, model: FunctionalTransport) -> None:
        """From a copy of the model that has been started."""
        self.snapshots = [_memory(model)]
        self.currents: list[int] = []
        self.first = model.values["JOBS_DONE"]
        while model.busy and len(self.snapshots) <= _MOST_JOBS:
            before = model.values["JOBS_DONE"]
            model.work()
            self.currents.append(model.values["CURRENT_DESCRIPTOR"])
            if model.values["JOBS_DONE"] != before:
                self.snapshots.append(_memory(model))
        self.endless = model.busy
        self.code = ErrorCode(REGISTERS["ERROR"].decode(model.values["ERROR"])["code"])

    @property
    def jobs(self) -> int:
        return len(self.snapshots) - 1

    @property
    def exact(self) -> bool:
        """It ends, and not with an error of the bus, which the RTL may meet at another address."""
        return not self.endless and self.code not in _BUS_ERRORS


def _memory(model: FunctionalTransport) -> np.ndarray:
    return model.read_memory(MEMORY_BASE, MEMORY_BYTES)


def _prepare(pair: Pair, step: Step) -> _Foretold:
    """Everything but the start of the RTL; the model is started."""
    for place, content in step.chain:
        pair.write_memory(place, np.frombuffer(bytes.fromhex(content), np.uint8))
    pair.set("STATUS", _FLAGS)
    pair.set("INTERRUPT_ENABLE", _ENDS)
    pair.set("WATCHDOG", step.watchdog)
    if step.window:
        mask = (1 << pair.config.address_bits) - 1
        pair.set("MEMORY_BASE", step.window[0] & mask)
        pair.set("MEMORY_LIMIT", step.window[1] & mask)
    pair.set("DESCRIPTOR", step.chain[0][0])
    trial = pair.copy_of_model()
    trial.write_register(REGISTERS["CONTROL"].offset, REGISTERS["CONTROL"].encode(start=1))
    return _Foretold(trial)


def _run(pair: Pair, step: Step, case: Case, outcomes: Outcomes) -> None:
    """A chain that is left alone."""
    foretold = _prepare(pair, step)
    pair.command(start=1)
    if foretold.endless:
        pair.rtl.wait(2000)
        _abort(pair, foretold, outcomes)
        return
    demand(pair.rtl.wait(PATIENCE), "hang", f"the model ends with {foretold.code.name}")
    if foretold.exact:
        pair.model.wait(_MOST_JOBS)
        outcomes["done" if foretold.code is ErrorCode.NONE else foretold.code.name] += 1
        return
    _check_bus_error(pair, foretold, outcomes)


def _check_bus_error(pair: Pair, foretold: _Foretold, outcomes: Outcomes) -> None:
    """The model met an error of the bus; so did the RTL, perhaps one job before, whose next descriptor it read."""
    code = ErrorCode(REGISTERS["ERROR"].decode(pair.read("ERROR"))["code"])
    demand(code in _BUS_ERRORS, "no bus error", f"RTL {code.name}, model {foretold.code.name}")
    done = pair.read("JOBS_DONE") - foretold.first
    demand(done in (foretold.jobs, foretold.jobs - 1), "jobs before a bus error", f"{done} of {foretold.jobs}")
    _check_memory(pair, foretold, done)
    outcomes[code.name] += 1
    pair.model.wait(_MOST_JOBS)
    pair.adopt(*WORK, "STATUS")


def _check_memory(pair: Pair, foretold: _Foretold, done: int, more: int = 1) -> None:
    """Every byte is as after `done` jobs, or as one of the next jobs would leave it; of a job that the model could not
    finish, that is any byte of its results.
    """
    found = pair.memory()
    known = foretold.snapshots[done : done + more + 1]
    right = np.any([found == each for each in known], axis=0)
    if done + more > foretold.jobs and not foretold.endless and foretold.code in _BUS_ERRORS:
        right |= _results(foretold.snapshots[foretold.jobs], foretold.currents[foretold.jobs])
    wrong = np.flatnonzero(~right)
    demand(not len(wrong), "stray write", f"{MEMORY_BASE + int(wrong[0]):#x} after {done} jobs" if len(wrong) else "")


def _results(memory: np.ndarray, descriptor: int) -> np.ndarray:
    """Which bytes of the memory a job writes: bool [bytes]."""
    from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, decode_descriptor
    from fineq_hw.interface.jobs import OutputFormat, result_bytes

    mask = np.zeros(len(memory), bool)
    start = descriptor - MEMORY_BASE
    if not 0 <= start <= len(memory) - DESCRIPTOR_BYTES:
        return mask
    fields = decode_descriptor(memory[start : start + DESCRIPTOR_BYTES].tobytes())
    if fields["output_format"] not in {each.value for each in OutputFormat}:
        return mask
    for token in range(min(fields["tokens"], len(memory))):
        first = fields["destination"] + token * fields["destination_stride"] - MEMORY_BASE
        last = first + fields["channels"] * result_bytes(fields["output_format"])
        if first < len(memory):
            mask[max(first, 0) : max(last, 0)] = True
    return mask


# -- chains that are cut off ---------------------------------------------------------------------------------------


def _interrupt(pair: Pair, step: Step, case: Case, outcomes: Outcomes) -> None:
    """A chain, and in the middle of it an abort or a reset."""
    foretold = _prepare(pair, step)
    pair.command(start=1)
    pair.rtl.wait(step.cycles)
    if foretold.endless:
        for address, value in step.pokes:
            pair.write_register(address, value)
    if step.how == "abort":
        _abort(pair, foretold, outcomes)
        return
    done = min(pair.read("JOBS_DONE") - foretold.first, foretold.jobs)
    (pair.rtl.reset if step.how == "reset" else pair.rtl.reset_bus)()
    pair.model.reset()
    if step.how == "power":
        demand(not pair.status()["memory_pending"], "pending after the reset of both")
    pair.settle()
    _check_memory(pair, foretold, done, more=3)
    pair.adopt()
    outcomes[step.how] += 1


def _abort(pair: Pair, foretold: _Foretold, outcomes: Outcomes) -> None:
    """A soft reset, which finds the chain running or over."""
    control = REGISTERS["CONTROL"]
    demand(pair.rtl.write_register(control.offset, control.encode(soft_reset=1)), "write response", "soft reset")
    demand(pair.rtl.wait(PATIENCE), "hang", "after a soft reset")
    _check_cut_off(pair, foretold, (ErrorCode.ABORTED,), outcomes)


def _check_cut_off(pair: Pair, foretold: _Foretold, codes: tuple[ErrorCode, ...], outcomes: Outcomes) -> None:
    """The chain has ended by itself as foretold, or with one of these codes; then the model goes on from there."""
    code = ErrorCode(REGISTERS["ERROR"].decode(pair.read("ERROR"))["code"])
    done = pair.read("JOBS_DONE") - foretold.first
    if code not in codes:
        demand(not foretold.endless, "ends by itself", code.name)
        if code in _BUS_ERRORS and foretold.code in _BUS_ERRORS:
            _check_bus_error(pair, foretold, outcomes)
            return
        demand(code is foretold.code, "another end", f"RTL {code.name}, model {foretold.code.name}")
        pair.model.wait(_MOST_JOBS)
        outcomes["done" if code is ErrorCode.NONE else code.name] += 1
        return
    demand(done <= foretold.jobs, "more jobs than the chain has", done)
    current = pair.read("CURRENT_DESCRIPTOR")
    demand(pair.read("ERROR_ADDRESS") == current, "address of a chain that was cut off", f"{current:#x}")
    near = foretold.currents[max(done - 1, 0) : done + 1]
    demand(current in near or done == 0, "current descriptor", f"{current:#x}, not of {near}")
    _check_memory(pair, foretold, done)
    pair.model.wait(done)
    pair.model.cut_off(code, current)
    outcomes[code.name] += 1
    pair.adopt(*WORK)


def _silence(pair: Pair, step: Step, case: Case, outcomes: Outcomes) -> None:
    """A chain under which the memory falls silent: given up by the watchdog, or not at all."""
    foretold = _prepare(pair, step)
    pair.command(start=1)
    pair.rtl.wait(step.cycles)
    pair.rtl.rest(1.0)
    try:
        if step.watchdog:
            demand(pair.rtl.wait(PATIENCE), "hang", f"with a watchdog of {step.watchdog} cycles")
        elif not pair.rtl.wait(3000) and foretold.endless:
            demand(pair.status()["busy"], "idle under a silent memory")
            control = REGISTERS["CONTROL"]
            pair.rtl.write_register(control.offset, control.encode(soft_reset=1))
            pair.rtl.wait(500)
    finally:
        pair.rtl.rest(case.stall)
    demand(pair.rtl.wait(PATIENCE), "hang", "after a silent memory")
    pair.settle()
    _check_cut_off(pair, foretold, (ErrorCode.ABORTED, ErrorCode.MEMORY_TIMEOUT), outcomes)


_CHAINS: dict[str, Callable[[Pair, Step, Case, Outcomes], None]] = {
    "run": _run,
    "interrupt": _interrupt,
    "silence": _silence,
}

__all__ = ["Difference", "Outcomes", "run_case"]
