"""The co-simulation regression: every testbench in every configuration, on one simulator (`fineq sim`)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from fineq_sim.runs import simulators
from fineq_sim.runs.bench_run import BenchRun
from fineq_sim.runs.runner import RunResult, default_cache, run


def execute(
    entry: BenchRun, simulator: str, output: Path, cache: Path, seed: int, waves: bool, coverage: bool = False
) -> RunResult:
    """Run one entry of the catalog. Safe to call in a process of its own."""
    started = time.monotonic()
    parameters = dict(entry.parameters)
    if entry.golden is not None:
        parameters["golden"] = str(entry.golden.make(output.absolute() / "golden"))
    try:
        design = entry.design(cache=cache)
    except Exception as error:  # whatever the generator raises is a failure of this run alone
        seconds = time.monotonic() - started
        return RunResult(entry.name, simulator, seed, seconds, 0.0, (), f"no Verilog: {type(error).__name__}: {error}")
    return run(
        entry.name,
        design,
        f"fineq_sim.benches.{entry.bench}",
        simulator,
        output,
        parameters=parameters,
        seed=seed,
        waves=waves,
        coverage=coverage,
        cache=cache,
        tests=entry.tests,
    )


def regress(
    entries: Sequence[BenchRun],
    simulator: str,
    output: Path,
    *,
    cache: Path | None = None,
    seed: int = 1,
    waves: bool = False,
    coverage: bool = False,
    jobs: int | None = None,
) -> Iterator[RunResult]:
    """Run entries of the catalog and yield each result as soon as it is there.

    Args:
        entries: what to run.
        simulator: one of `fineq_sim.runs.simulators.SIMULATORS`.
        output: directory for logs, golden vectors and waveforms.
        cache: directory of built simulations.
        seed: random seed of every run.
        waves: record waveforms.
        coverage: count executed lines (see `fineq_sim.runs.coverage`).
        jobs: simulations at a time; as many as there are processors when omitted.

    Raises:
        SimulatorError: the simulator is missing.
    """
    simulators.require(simulator)
    cache = default_cache() if cache is None else cache.absolute()
    output.mkdir(parents=True, exist_ok=True)
    for entry in entries:  # once, before several processes want the same
        if entry.golden is not None:
            entry.golden.make(output.absolute() / "golden")
    with ProcessPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        waiting: set[Future[RunResult]] = {
            pool.submit(execute, entry, simulator, output, cache, seed, waves, coverage) for entry in entries
        }
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
