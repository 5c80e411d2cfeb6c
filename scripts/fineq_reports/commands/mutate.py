"""`fineq mutate`: plant faults in the RTL and the software; every one must be caught (docs/flows/verification.md)."""

from __future__ import annotations

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
) -> None:
    """Plant each fault in a copy of the sources and run the check that must notice it."""
    from fineq_sim.runs import mutation, simulators

    # Icarus builds a small design in a fraction of a second.
    simulator = simulator or ("icarus" if shutil.which("iverilog") else "verilator")
    known = mutation.load_faults(faults)
    absent = [name for name in mutation.COPIED if not (repository / name).exists()]
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
    for verdict in mutation.mutate(repository, output, chosen, simulator=simulator):
        verdicts.append(verdict)
        what = f"caught by {verdict.caught_by}" if verdict.caught_by is not None else "SURVIVES"
        seconds = time.monotonic() - started
        print(f"[{len(verdicts):2}/{len(chosen)}] {seconds:6.1f} s  {verdict.fault.name}: {what}", flush=True)
    report = write_text(output / "mutation.md", mutation.markdown(verdicts, simulator))
    survivors = [verdict.fault.name for verdict in verdicts if verdict.caught_by is None]
    if survivors:
        raise CheckFailed(f"{len(survivors)} of {len(verdicts)} faults survive: {', '.join(survivors)}")
    print(f"all {len(verdicts)} faults are caught; report in {report}")
