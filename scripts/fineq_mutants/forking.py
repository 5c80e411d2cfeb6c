"""Runs inside the simulator, as the last of its test modules: one process for each mutant, all from one start.

Starting a simulator and importing a bench takes longer than most mutants live. So the process that has done both, and
has not begun to simulate, forks: every child goes on with another number in `SELECT_FILE`, which the design reads when
it begins. The parent never simulates; it waits, and writes down how each child ended.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
from dataclasses import asdict, dataclass
from pathlib import Path

from fineq_mutants.netlist import SELECT_FILE

ORDER = "FINEQ_MUTANTS"
"""Environment variable with an `Order` as JSON."""

RESULTS, LOG = "results.xml", "run.log"
"""Files in the directory of each mutant."""

ENDS = "ends.jsonl"
"""File in the directory of all with a line for each mutant: its number, how the process ended, its processor time."""


@dataclass(frozen=True)
class Order:
    """What is to be run.

    Attributes:
        numbers: of the mutants; 0 is the design without one. If a test fails there, that is all.
        directory: has one below it for each number.
        limit_factor, limit_extra_s: processor time of a mutant: so many times that of the run without one, and so
            many seconds.
        alone_s: processor time of the run without one, if it is known; if not, 0 must be the first number.
    """

    numbers: tuple[int, ...]
    directory: str
    limit_factor: float
    limit_extra_s: float
    alone_s: float | None


def _child(number: int, directory: Path, limit_s: int) -> None:
    directory.mkdir(parents=True)
    os.chdir(directory)
    Path(SELECT_FILE).write_text(f"{number}\n", encoding="utf-8")
    os.environ["COCOTB_RESULTS_FILE"] = str(directory / RESULTS)
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(log, stream)
    _leave_at_exit()
    if limit_s:
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s + 5))


def _leave_at_exit() -> None:
    """Let `exit` end the process at once: a verilated program would wait there for threads that a fork does not copy.

    What is registered last is called first, and `_exit` takes the status that it is called with.
    """
    libc = ctypes.CDLL(None)
    libc.on_exit(libc._exit, None)


def _fork_all(order: Order) -> None:
    """Returns in the children alone."""
    directory, alone_s = Path(order.directory), order.alone_s
    with (directory / ENDS).open("w", encoding="utf-8") as ends:
        for number in order.numbers:
            limit_s = 0 if alone_s is None else int(order.limit_factor * alone_s + order.limit_extra_s)
            child = os.fork()
            if child == 0:
                _child(number, directory / str(number), limit_s)
                return
            _, status, used = os.wait4(child, 0)
            seconds = used.ru_utime + used.ru_stime
            ends.write(json.dumps([number, status, round(seconds, 2)]) + "\n")
            ends.flush()
            if number == 0:
                alone_s = seconds
                results = directory / "0" / RESULTS
                if not results.is_file() or "<failure" in results.read_text(encoding="utf-8"):
                    break
    os._exit(0)


def order_text(order: Order) -> str:
    """For the environment."""
    return json.dumps(asdict(order))


if ORDER in os.environ:
    _fork_all(Order(**json.loads(os.environ[ORDER])))
