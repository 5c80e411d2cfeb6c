"""`fineq sim`: every testbench in every configuration, on one simulator."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed
from fineq.common.files import write_text


def sim(
    output: Annotated[Path, typer.Option(help="Directory for results, logs and waveforms.")] = Path("build/sim"),
    simulator: Annotated[str, typer.Option(help="verilator or icarus.")] = "verilator",
    only: Annotated[str | None, typer.Option(help="Only testbenches whose name matches.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only the small part that `make test` runs.")] = False,
    waves: Annotated[bool, typer.Option("--waves", help="Record waveforms (VCD, with Icarus FST).")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Random seed.")] = 1,
    jobs: Annotated[int | None, typer.Option(help="Simulations at a time. Default: one a processor.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Directory of built simulations.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run again what passed before with the same code.")] = False,
    results_in: Annotated[
        Path | None,
        typer.Option("--results", help="Directory to write simulation-<simulator>.md to, if all runs pass."),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="List the testbenches and stop.")] = False,
) -> None:
    """Run the cocotb regression.

    An interrupted one goes on where it was: what passed in the same directory with the same code and seed is kept.
    """
    from rich.console import Console

    from fineq_sim.coverage.report import empty_bins, summary
    from fineq_sim.runs import regression_report, simulators
    from fineq_sim.runs.catalog import select
    from fineq_sim.runs.kept import KeptResult
    from fineq_sim.runs.regression import FUNCTIONAL_REPORT, regress, write_functional_coverage

    console = Console()
    simulators.check_name(simulator)
    entries = select(simulator, only, quick)
    if show:
        for entry in entries:
            console.print(entry.name, highlight=False)
        return
    simulators.require(simulator)
    started = time.monotonic()
    results = []
    for result in regress(entries, simulator, output, cache=cache, seed=seed, waves=waves, jobs=jobs, fresh=fresh):
        results.append(result)
        verdict = "kept" if isinstance(result, KeptResult) else "pass" if result.passed else "FAIL"
        line = f"[{len(results):2}/{len(entries)}] {time.monotonic() - started:6.1f} s  {verdict}  {result.name}"
        console.print(line, markup=False, highlight=False)
    order = {entry.name: number for number, entry in enumerate(entries)}
    results.sort(key=lambda result: order[result.name])
    write_text(output / "results.xml", regression_report.junit(results))
    write_text(output / "summary.md", regression_report.markdown(results))
    regression_report.print_table(results, console)
    options = f"{' --quick' if quick else ''}{f' --only {only!r}' if only else ''}"
    counts = write_functional_coverage(entries, output, f"fineq sim --simulator {simulator}{options}")
    failed = [result for result in results if not result.passed]
    for result in failed:
        command = f"fineq sim --simulator {simulator} --only '{result.name}' --seed {seed}"
        print("\n".join(regression_report.failures(result, f"{command} --output {output} --waves")), file=sys.stderr)
    waves_written = [path for result in results for path in result.waves]
    if waves_written:
        print(f"waveforms: {len(waves_written)} files under {output}")
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(results)} testbench runs failed on {simulator}")
    empty = empty_bins(counts)
    if empty and not options and simulator == "verilator":  # Icarus leaves out what takes minutes
        raise CheckFailed(f"{len(empty)} bins of functional coverage stayed empty: {output / FUNCTIONAL_REPORT}")
    if results_in is not None:
        page = regression_report.page(
            results,
            f"fineq sim --simulator {simulator}{options} --seed {seed}",
            simulators.version(simulator),
            (output / FUNCTIONAL_REPORT).read_text(encoding="utf-8"),
        )
        print(f"wrote {write_text(results_in / f'simulation-{simulator}.md', page)}")
    tests = sum(len(result.tests) for result in results)
    seconds = time.monotonic() - started
    print(f"functional coverage: {summary(counts)}: {output / FUNCTIONAL_REPORT}")
    kept = sum(isinstance(result, KeptResult) for result in results)
    earlier = f" ({kept} of the runs kept from an earlier run of the same code)" if kept else ""
    print(f"{len(results)} testbench runs, {tests} tests, all pass on {simulator} in {seconds:.0f} s{earlier}")
