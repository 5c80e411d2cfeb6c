"""`fineq coverage`: how much of the generated Verilog the regression reaches, and which situations its benches meet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed
from fineq.common.files import write_text


def coverage(
    output: Annotated[Path, typer.Option(help="Directory for the report and the logs.")] = Path("build/coverage"),
    only: Annotated[str | None, typer.Option(help="Only testbenches whose name matches.")] = None,
    large: Annotated[bool, typer.Option("--large", help="Large arrays too.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Random seed.")] = 1,
    jobs: Annotated[int | None, typer.Option(help="Simulations at a time. Default: one a processor.")] = None,
    results: Annotated[Path | None, typer.Option(help="Directory to write coverage.md to as well.")] = None,
) -> None:
    """Run the regression with Verilator's line coverage and report it by component; functional coverage beside it.

    Without `--large` or `--only`: every testbench on the small arrays, because a module has the same lines at every
    size.
    """
    from rich.console import Console

    from fineq_sim.coverage.report import summary
    from fineq_sim.runs.catalog import select
    from fineq_sim.runs.coverage import ModuleCoverage, add_records, below_bar, markdown
    from fineq_sim.runs.regression import FUNCTIONAL_REPORT, regress, write_functional_coverage
    from fineq_sim.runs.runner import COVERAGE_FILE, default_cache, run_directory
    from fineq_sim.runs.simulators import SimulatorError

    console = Console()
    modules: dict[str, ModuleCoverage] = {}
    # Without initial values a module has other lines; such a run would count apart.
    entries = [
        entry for entry in select("verilator", only) if (large or only or not entry.large) and not entry.random_start
    ]
    by_name = {entry.name: entry for entry in entries}
    runs = regress(entries, "verilator", output, seed=seed, coverage=True, jobs=jobs)
    for number, result in enumerate(runs, start=1):
        verdict = "pass" if result.passed else "FAIL"
        console.print(f"[{number:2}/{len(entries)}] {verdict}  {result.name}", markup=False, highlight=False)
        if not result.passed:
            raise SimulatorError(f"{result.name} failed: coverage of a failing regression means nothing")
        design = by_name[result.name].design(cache=default_cache())
        counts = run_directory(output, result.name) / COVERAGE_FILE
        add_records(counts.read_text(encoding="utf-8"), design, modules)
    options = f" --only '{only}'" if only else " --large" if large else ""
    command = f"fineq coverage{options}" if options else "make coverage"
    text = markdown(modules, command)
    write_text(output / "coverage.md", text)
    if results is not None:
        write_text(results / "coverage.md", text)
    met = write_functional_coverage(entries, output, command)
    missing = below_bar(modules)
    for sentence in missing:
        print(f"below the bar: {sentence}", file=sys.stderr)
    print(f"functional coverage: {summary(met)}")
    print(f"reports: {output / 'coverage.md'}, {output / FUNCTIONAL_REPORT}")
    if missing:
        raise CheckFailed(f"{len(missing)} figures are below the bar: see above")
