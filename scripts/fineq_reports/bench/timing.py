"""How times and peaks of memory are taken.

Absolute times depend on the machine and on what else it does; a ratio of two things run in turn much less. Each
round runs every case once, the ratio is taken within the round, and the median over the rounds is the result.
"""

from __future__ import annotations

import ctypes
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from fineq_reports.bench.records import BenchTable, Row

BARS = {
    "quantize (paper)": 12.0,
    "unpack to int8": 6.0,
    "unpack to float16": 6.0,
    "packed, 32 tokens": 2.0,
    "model directory (mse)": 2.0,
    "model directory (paper)": 2.0,
}
"""The most that a case may take, as a multiple of what it is compared with."""


def measure(
    title: str, cases: dict[str, Callable[[], object]], rounds: int, weights: int, warm: bool = True
) -> BenchTable:
    """Run the cases in turn. The first is the baseline; it runs before and after every other.

    Args:
        title: of the table.
        cases: by name.
        rounds: how often each case runs.
        weights: that a case works through, for the rate.
        warm: run every case once before; False: only the baseline, where a case takes minutes.
    """
    baseline, *others = cases
    for case, function in cases.items():  # compile, load, warm up
        if warm or case == baseline:
            function()
    times: dict[str, list[Times]] = {case: [] for case in cases}
    ratios: dict[str, list[Times]] = {case: [] for case in others}
    for _ in range(rounds):
        before = times_of(cases[baseline])
        times[baseline].append(before)
        for case in others:
            own, after = times_of(cases[case]), times_of(cases[baseline])
            times[case].append(own)
            times[baseline].append(after)
            ratios[case].append(Times(*(2 * t / (a + b) for t, a, b in zip(own, before, after, strict=True))))
            before = after
    rows = []
    for case in cases:
        taken = Times(*(median(values) for values in zip(*times[case], strict=True)))
        wall, cpu = zip(*ratios.get(case, [(1.0, 1.0)]), strict=True)
        low, _, high = quantiles(wall, method="inclusive") if len(wall) > 1 else wall * 3
        rate = weights / taken.wall
        rows.append(Row(case, taken.wall, taken.cpu, median(wall), (low, high), median(cpu), rate, BARS.get(case)))
    return BenchTable(title, baseline, rows)


class Times(NamedTuple):
    """Seconds by the clock, and of all processors together."""

    wall: float
    cpu: float


def times_of(function: Callable[[], object]) -> Times:
    wall, cpu = time.perf_counter(), _processor_time()
    result = function()
    times = Times(time.perf_counter() - wall, max(_processor_time() - cpu, 1e-9))
    del result  # giving memory back is not part of the work
    return times


def _processor_time() -> float:
    """Seconds of this process, its threads, and the programs that it started and waited for."""
    programs = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + programs.ru_utime + programs.ru_stime


def peak_of(function: Callable[[], object]) -> float | None:
    """Memory in MB that a second call of the function takes at most beyond what the process has."""
    function()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # memory that was given back and kept for later would hide the peak
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak to the present
        before = resident_peak()
        function()
        return (resident_peak() - before) / 1e6
    except (OSError, AttributeError):
        return None


def resident_peak() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])
