"""The co-simulation regression: every testbench in every configuration, on one simulator (`fineq sim`)."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from fineq.common.files import write_text
from fineq_sim.coverage.groups import Bin
from fineq_sim.coverage.report import COUNTS_FILE, as_json, markdown, merge
from fineq_sim.runs import kept, simulators
from fineq_sim.runs.bench_run import BenchRun
from fineq_sim.runs.runner import RunResult, default_cache, run, run_directory

FUNCTIONAL_REPORT = "functional-coverage.md"
"""Report on the functional coverage of a regression, in its directory."""


def execute(
    entry: BenchRun,
    simulator: str,
    output: Path,
    cache: Path,
    seed: int,
    waves: bool,
    coverage: bool = False,
    fresh: bool = True,
) -> RunResult:
    """Run one entry of the catalog, unless `fresh` is false and it passed before. Safe in a process of its own."""
    started = time.monotonic()
    try:
        options = {"initial_values": False} if entry.random_start else {}
        design = entry.design(cache=cache, **options)
    except Exception as error:  # whatever the generator raises is a failure of this run alone
        seconds = time.monotonic() - started
        return RunResult(entry.name, simulator, seed, seconds, 0.0, (), f"no Verilog: {type(error).__name__}: {error}")
    key, directory = kept.run_key(entry, design, simulator, seed, waves, coverage), run_directory(output, entry.name)
    found = None if fresh else kept.find(directory, key, entry.name)
    if found is not None:
        return found
    result = run(
        entry.name,
        design,
        f"fineq_sim.benches.{entry.bench}",
        simulator,
        output,
        parameters=entry.settings(design, output),
        seed=seed,
        waves=waves,
        coverage=coverage,
        random_start=entry.random_start,
        optimized=entry.optimized,
        cache=cache,
        tests=entry.tests,
    )
    kept.keep(directory, key, result)
    return result


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
    fresh: bool = True,
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
        fresh: run all anew. Otherwise a run that passed in this directory, with the same code, inputs and seed,
            yields a `KeptResult`.

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
            pool.submit(execute, entry, simulator, output, cache, seed, waves, coverage, fresh) for entry in entries
        }
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def write_functional_coverage(entries: Sequence[BenchRun], output: Path, command: str) -> dict[str, Counter[Bin]]:
    """Add up what the benches of a regression have met; writes the sums and the report into its directory.

    Args:
        entries: what was run.
        output: as for `regress`.
        command: that ran them.

    Returns:
        The counts by group and bin.
    """
    counts = merge(run_directory(output, entry.name) / COUNTS_FILE for entry in entries)
    write_text(output / COUNTS_FILE, as_json(counts))
    write_text(output / FUNCTIONAL_REPORT, markdown(counts, command))
    return counts
