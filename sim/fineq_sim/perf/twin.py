"""The `exact` engine: a twin of the whole machine without data, cycle by cycle, in C++ (machine/).

    jobs = place_jobs(config, [(64, 4096, 4096, OutputFormat.INT8)])
    counters = run(config, jobs, [code_steps(codes, config)], MemoryTiming(latency=40))

Its counters equal those of the RTL, all of them, for any memory that `MemoryTiming` can describe;
`fineq_sim.perf.exactness` holds the two against each other. What it leaves out: errors, aborts and the watchdog, which
no legal job meets.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence

import numpy as np

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.descriptors import inner_tiles
from fineq_hw.interface.registers import COUNTERS
from fineq_sim.driver.jobs import Counters
from fineq_sim.driver.memory_timing import MemoryTiming
from fineq_sim.perf.build import TwinError, library, names
from fineq_sim.perf.constants import machine_constants
from fineq_sim.perf.jobs import TwinJob, longest_steps

CYCLE_LIMIT = 1 << 40
"""A chain that takes longer is given up."""


def run(
    config: AcceleratorConfig,
    jobs: Sequence[TwinJob],
    steps: Sequence[np.ndarray],
    memory: MemoryTiming | None = None,
    *,
    skip: bool = True,
    constants: Mapping[str, int] | None = None,
    limit: int = CYCLE_LIMIT,
) -> Counters:
    """Run a chain of jobs.

    Args:
        config: the machine.
        jobs: of the chain, legal ones (`fineq_hw.interface.descriptors.check_descriptor`).
        steps: for each job the steps of its weight vectors, uint8 [inner tiles, N] (`fineq_sim.perf.jobs.code_steps`).
        memory: at the machine's port; None: one cycle, one word a cycle, no stalls.
        skip: leave out token tiles that go as others did; the counters are the same.
        constants: in place of `machine_constants(config)`, to show that each of them counts.
        limit: cycles after which the chain is given up.

    Raises:
        TwinError: there is no compiler, or the chain takes more than `limit` cycles.
        ValueError: steps of the wrong shape, or out of range.
    """
    memory = MemoryTiming() if memory is None else memory
    found = library()
    if not jobs:
        raise ValueError("a chain has at least one job")
    tables = [_checked(config, job, table) for job, table in zip(jobs, steps, strict=True)]
    pointers = (ctypes.c_void_p * len(tables))(*(table.ctypes.data for table in tables))
    counted = np.zeros(len(COUNTERS), dtype=np.uint64)
    job_numbers = np.concatenate([_ordered("job", job.numbers(config)) for job in jobs])
    outcome = found.fineq_run(
        _address(_ordered("constant", machine_constants(config) if constants is None else constants)),
        _address(job_numbers),
        pointers,
        ctypes.c_uint32(len(jobs)),
        _address(_ordered("memory", memory.named_numbers(config.bus_bytes))),
        int(skip),
        ctypes.c_uint64(limit),
        _address(counted),
    )
    if outcome:
        raise TwinError(f"the chain has not ended after {limit} cycles")
    order = [counter.name for counter in COUNTERS]
    values = dict(zip(names("counter"), counted.tolist(), strict=True))
    if set(values) != set(order):
        raise TwinError(f"the twin counts {', '.join(values)}: the machine counts {', '.join(order)}")
    return Counters({name: values[name] for name in order}, cycle_accurate=True)


def _ordered(what: str, numbers: Mapping[str, int]) -> np.ndarray:
    """Numbers by name in the order of the twin, int64."""
    order = names(what)
    if set(order) != set(numbers):
        raise TwinError(f"the twin wants the {what} numbers {', '.join(order)}: there are {', '.join(numbers)}")
    return np.array([numbers[name] for name in order], dtype=np.int64)


def _checked(config: AcceleratorConfig, job: TwinJob, steps: np.ndarray) -> np.ndarray:
    shape = (inner_tiles(job.inner, config), job.channels)
    if steps.shape != shape:
        raise ValueError(f"steps have shape {list(steps.shape)}: they must be [inner tiles, channels], {list(shape)}")
    longest = longest_steps(config)
    if steps.min() < 1 or steps.max() > longest:
        raise ValueError(f"steps are {steps.min()} to {steps.max()}: they must lie between 1 and {longest}")
    return np.ascontiguousarray(steps, dtype=np.uint8)


def _address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
