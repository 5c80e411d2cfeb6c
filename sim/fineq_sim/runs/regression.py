"""The co-simulation regression: every testbench in every configuration, on one simulator.

fineq sim --simulator verilator --output build/sim-verilator
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fineq_sim.runs import regression_report, simulators
from fineq_sim.runs.catalog import BenchRun, select
from fineq_sim.runs.runner import RunResult, default_cache, run
from fineq_sim.runs.simulators import SimulatorError


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


def main(
    output: Annotated[Path, typer.Option(help="Directory for results, logs and waveforms.")] = Path("build/sim"),
    simulator: Annotated[str, typer.Option(help="verilator or icarus.")] = "verilator",
    only: Annotated[str | None, typer.Option(help="Only testbenches whose name matches.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only the small part that `make test` runs.")] = False,
    waves: Annotated[bool, typer.Option("--waves", help="Record waveforms (VCD, with Icarus FST).")] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    jobs: Annotated[int | None, typer.Option(help="Simulations at a time. Default: one a processor.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Directory of built simulations.")] = None,
    show: Annotated[bool, typer.Option("--list", help="List the testbenches and stop.")] = False,
) -> None:
    """Run the cocotb regression."""
    console = Console()
    try:
        if simulator not in simulators.SIMULATORS:
            simulators.require(simulator)
        entries = select(simulator, only, quick)
        if show:
            for entry in entries:
                console.print(entry.name, highlight=False)
            return
        simulators.require(simulator)
        started = time.monotonic()
        results: list[RunResult] = []
        for result in regress(entries, simulator, output, cache=cache, seed=seed, waves=waves, jobs=jobs):
            results.append(result)
            verdict = "pass" if result.passed else "FAIL"
            console.print(
                f"[{len(results):2}/{len(entries)}] {time.monotonic() - started:6.1f} s  {verdict}  {result.name}",
                markup=False,
                highlight=False,
            )
        order = {entry.name: number for number, entry in enumerate(entries)}
        results.sort(key=lambda result: order[result.name])
        regression_report.write_text(output / "results.xml", regression_report.junit(results))
        regression_report.write_text(output / "summary.md", regression_report.markdown(results))
    except (SimulatorError, ValueError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"cannot write to {error.filename or output}: {error.strerror}")
    regression_report.print_table(results, console)
    failed = [result for result in results if not result.passed]
    for result in failed:
        command = f"fineq sim --simulator {simulator} --only '{result.name}' --seed {seed}"
        print("\n".join(regression_report.failures(result, f"{command} --output {output} --waves")), file=sys.stderr)
    waves_written = [path for result in results for path in result.waves]
    if waves_written:
        print(f"waveforms: {len(waves_written)} files under {output}")
    if failed:
        _fail(f"{len(failed)} of {len(results)} testbench runs failed on {simulator}")
    tests = sum(len(result.tests) for result in results)
    seconds = time.monotonic() - started
    print(f"{len(results)} testbench runs, {tests} tests, all pass on {simulator} in {seconds:.0f} s")


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(1)
