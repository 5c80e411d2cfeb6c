"""Explores machines on a workload: area, energy and time of thousands, the best of them, and what a front costs.

    fineq explore SPACE.yaml llama-2-7b -o build/explore

Every point is kept at once in points.jsonl: a run that was killed goes on, here or with --ray on the machines of a
cluster. Writes exploration.md, exploration-points.csv and exploration.png.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer


def explore(
    space: Annotated[Path, typer.Argument(help="YAML file with axes; see the documentation.")],
    workload: Annotated[str, typer.Argument(help="As for simulate.")],
    phase: Annotated[str, typer.Option(help="prefill or decode.")] = "prefill",
    seq: Annotated[str, typer.Option(help="Lengths. Default: 2048.")] = "",
    batch: Annotated[int, typer.Option(help="Sequences at once.")] = 1,
    steps: Annotated[str | None, typer.Option(help="As for simulate; of a range its middle.")] = None,
    top: Annotated[int, typer.Option(min=0, help="Best points that are run again exactly.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Processes. Default: one for each core.")] = os.cpu_count() or 1,
    ray: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of a Ray cluster, or auto: its processors measure the points, not those here."),
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Directory of measurements. Default: docs/results.")] = None,
    store: Annotated[Path, typer.Option(help="Directory that keeps the points.")] = Path("build/explore"),
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory for the files.")] = Path("build/explore"),
) -> None:
    """Explore machines on a workload."""
    from contextlib import nullcontext

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from fineq.common.places import check_directory
    from fineq.distributed.cluster import connected
    from fineq_reports.commands.machines.simulate import lengths
    from fineq_reports.simulator.exploration import references, rerun, summarise, write_exploration
    from fineq_sim.explore.points import explored
    from fineq_sim.explore.search import search
    from fineq_sim.explore.space import read_space
    from fineq_sim.explore.store import Store
    from fineq_sim.study.results import results_directory
    from fineq_sim.workloads.find import find_workload

    check_directory(output)
    check_directory(store)
    found_space = read_space(space)
    work = find_workload(workload, phase, lengths(seq), batch)
    exploration = explored(found_space, work, results_directory(results), steps)
    kept = Store(store / "points.jsonl", exploration)
    began = time.monotonic()
    columns = (TextColumn("points"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with connected(ray, "fineq_sim.explore.cluster") if ray else nullcontext() as cluster:
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            line = bar.add_task("points", total=None)

            def progress(done: int, total: int) -> None:
                bar.update(line, completed=done, total=total)

            good, bad = search(exploration, kept, jobs, progress, cluster)
    typer.echo(f"{time.monotonic() - began:6.1f} s  {len(good)} machines, {len(bad)} that cannot be built")
    known = references(exploration, kept)
    again = rerun(exploration, good, top)
    summary = summarise(exploration, good, bad, known, again, "fineq " + " ".join(sys.argv[1:]))
    for path in write_exploration(summary, output):
        typer.echo(f"{time.monotonic() - began:6.1f} s  wrote {path}")
