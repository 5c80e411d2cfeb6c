"""`fineq mutate`: plant faults in the RTL and the software; every one must be caught (docs/flows/verification.md)."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed, FineqError
from fineq.common.files import write_text


def mutate(
    output: Annotated[Path, typer.Option(help="Directory for the report and the scratch copies.")] = Path(
        "build/mutate"
    ),
    faults: Annotated[Path, typer.Option(help="Directory of *.toml files that say what to plant.")] = Path(
        "tests/faults"
    ),
    repository: Annotated[Path, typer.Option(help="Sources to plant them in: a clone of the project.")] = Path("."),
    only: Annotated[str | None, typer.Option(help="Only faults whose name contains this.")] = None,
    simulator: Annotated[str | None, typer.Option(help="Default: icarus where installed, else verilator.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Checks at a time. Default: one a processor.")] = None,
    results: Annotated[Path | None, typer.Option(help="Directory to write mutation.md to as well.")] = None,
) -> None:
    """Plant each fault in a copy of the sources and run the check that must notice it.

    An interrupted run goes on where it was: outcomes are kept beside the built simulations while nothing changes that
    the check may use; `fineq formal --faults` keeps its own there as well.
    """
    from fineq_sim.runs import mutation, simulators
    from fineq_sim.runs.runner import default_cache

    # Icarus builds a small design in a fraction of a second.
    simulator = simulator or ("icarus" if shutil.which("iverilog") else "verilator")
    known = mutation.load_faults(faults)
    used = sorted({name for names in mutation.COPIED.values() for name in names})
    absent = [name for name in used if not (repository / name).exists()]
    if absent:
        raise FineqError(
            f"{repository.resolve()} is no clone of the project ({absent[0]} is missing): use --repository"
        )
    chosen = [fault for fault in known if only is None or only in fault.name]
    if not chosen:
        raise FineqError(f"no fault matches {only!r}: the names are {', '.join(fault.name for fault in known)}")
    simulators.require(simulator)
    output.mkdir(parents=True, exist_ok=True)
    verdicts = []
    started = time.monotonic()
    jobs = jobs or len(os.sched_getaffinity(0))
    kept = default_cache() / mutation.OUTCOMES
    for verdict in mutation.mutate(repository, output, chosen, simulator=simulator, jobs=jobs, kept=kept):
        verdicts.append(verdict)
        what = f"caught by {verdict.caught_by}" if verdict.caught_by is not None else "SURVIVES"
        seconds = time.monotonic() - started
        left = seconds / len(verdicts) * (len(chosen) - len(verdicts)) / 60
        progress = f"[{len(verdicts):3}/{len(chosen)}, {left:.0f} min left]"
        print(f"{progress} {seconds:6.1f} s  {verdict.fault.name}: {what}", flush=True)
    order = {fault.name: number for number, fault in enumerate(chosen)}
    verdicts.sort(key=lambda verdict: order[verdict.fault.name])
    text = mutation.markdown(verdicts, simulator)
    report = write_text(output / "mutation.md", text)
    if results is not None:
        report = write_text(results / "mutation.md", text)
    survivors = [verdict.fault.name for verdict in verdicts if verdict.caught_by is None]
    if survivors:
        raise CheckFailed(f"{len(survivors)} of {len(verdicts)} faults survive: {', '.join(survivors)}")
    print(f"all {len(verdicts)} faults are caught; report in {report}")
