"""Runs the twin and keeps what each stage does, cycle by cycle."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from fineq.common.cache_keys import cache_key
from fineq.kernels.build import FLAGS, KernelError, cache_directory, compile_source, find_compiler, is_intact, processor
from fineq.kernels.build import run as run_program
from fineq_hw.config import AcceleratorConfig
from fineq_sim.driver.memory_timing import TIMING_HEADER, MemoryTiming
from fineq_sim.perf import build
from fineq_sim.perf.build import TwinError, names
from fineq_sim.perf.constants import machine_constants
from fineq_sim.perf.jobs import TwinJob

CODE_FILES = ("trace.cpp",)

SOURCE = Path(__file__).with_name(*CODE_FILES)

MACHINE = build.SOURCE.parent
"""Folder of the machine that is watched."""

STATES = ("quiet", "busy", "stalled")

ROOM = 400_000
"""Runs that are kept at most: a trace of them stays below 50 MB."""


@dataclass(frozen=True)
class Watched:
    """What was seen.

    Attributes:
        runs: int64 [runs, 4]: stage and state by number, first cycle, cycles; quiet ones are left out.
        cycles: that were watched.
        counters: of these cycles.
        ended: the chain is through; otherwise the watch ended first.
    """

    runs: np.ndarray
    cycles: int
    counters: Mapping[str, int]
    ended: bool


@cache
def library() -> ctypes.CDLL:
    """The watch, compiled if it has to be.

    Raises:
        TwinError: no compiler, it fails, or the cache directory cannot be written.
    """
    try:
        compiler = find_compiler()
        flags = [*FLAGS, f"-I{MACHINE}"]
        inputs = [compiler, FLAGS, run_program([*compiler, "--version"]), processor()]
        files = [TIMING_HEADER, *sorted(MACHINE.glob("*.hpp"))]
        target = cache_directory() / f"watch-{cache_key(__name__, inputs=inputs, files=files)}.so"
        if not is_intact(target):
            compile_source(SOURCE, compiler, flags, target)
        found = ctypes.CDLL(str(target))
    except (KernelError, OSError) as error:
        raise TwinError(f"a trace comes from a C++ program that is compiled on first use: {error}") from error
    return found


def watch(
    config: AcceleratorConfig,
    jobs: Sequence[TwinJob],
    steps: Sequence[np.ndarray],
    memory: MemoryTiming,
    cycles: int,
    room: int = ROOM,
) -> Watched:
    """Watch a chain from its start.

    Args:
        config, jobs, steps, memory: as `fineq_sim.perf.twin.run`.
        cycles: after which the watch ends, if the chain has not.
        room: runs that are kept at most; the watch ends there too.

    Raises:
        TwinError: there is no compiler.
    """
    found = library()
    tables = [np.ascontiguousarray(table, dtype=np.uint8) for table in steps]
    pointers = (ctypes.c_void_p * len(tables))(*(table.ctypes.data for table in tables))
    numbers = np.concatenate([_ordered("job", job.numbers(config)) for job in jobs])
    runs = np.zeros((room, 4), dtype=np.int64)
    counted = np.zeros(len(names("counter")), dtype=np.uint64)
    outcome = np.zeros(3, dtype=np.uint64)
    found.fineq_watch(
        _address(_ordered("constant", machine_constants(config))),
        _address(numbers),
        pointers,
        ctypes.c_uint32(len(jobs)),
        _address(_ordered("memory", memory.named_numbers(config.bus_bytes))),
        ctypes.c_uint64(cycles),
        _address(runs),
        ctypes.c_uint64(room),
        _address(counted),
        _address(outcome),
    )
    counters = dict(zip(names("counter"), (int(value) for value in counted), strict=True))
    return Watched(runs[: int(outcome[0])], int(outcome[1]), counters, bool(outcome[2]))


def _ordered(what: str, numbers: Mapping[str, int]) -> np.ndarray:
    return np.array([numbers[name] for name in names(what)], dtype=np.int64)


def _address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
