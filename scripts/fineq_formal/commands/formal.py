"""`fineq formal`: prove properties of the RTL; planted faults must break proofs (docs/flows/verification.md).

    fineq formal                                        # all proofs
    fineq formal --only dma/burst_splitter
    fineq formal --faults --results docs/results        # with planted faults; writes docs/results/formal.md

What is proven is kept in the cache, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed
from fineq.common.files import write_text


def formal(
    output: Annotated[Path, typer.Option(help="Directory for the report, models and waveforms.")] = Path(
        "build/formal"
    ),
    only: Annotated[str | None, typer.Option(help="Only proofs whose name contains this.")] = None,
    short: Annotated[bool, typer.Option(help="Only the short set, about half a minute.")] = False,
    faults: Annotated[bool, typer.Option(help="Plant the faults that the proofs must notice as well.")] = False,
    fault_directory: Annotated[Path, typer.Option(help="Directory of *.toml files with faults.")] = Path(
        "tests/faults"
    ),
    repository: Annotated[Path, typer.Option(help="Sources to plant them in: a clone of the project.")] = Path("."),
    jobs: Annotated[int, typer.Option(min=1, help="Proofs at a time.")] = 2,
    limit: Annotated[float, typer.Option(min=1, help="Seconds after which a proof is given up.")] = 300,
    cache: Annotated[Path | None, typer.Option(help="Directory of kept verdicts; default: in the output.")] = None,
    results: Annotated[Path | None, typer.Option(help="Directory to write formal.md to as well.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Print the names of the proofs and end.")] = False,
) -> None:
    """Prove properties of the RTL, for runs of any length where a proof closes."""
    from fineq.common.progress import progress_display
    from fineq_formal import catalog, report
    from fineq_formal.faults import plant, proof_faults
    from fineq_formal.runner import run_proofs
    from fineq_formal.tools import find_provers

    chosen = catalog.select(only, short)
    if listed:
        for proof in chosen:
            typer.echo(f"{proof.name}: {proof.claim}")
        return
    planted = proof_faults(fault_directory, only) if faults else []
    provers = find_provers()
    output.mkdir(parents=True, exist_ok=True)
    verdicts = {}
    with progress_display() as progress:
        kept = output / "cache" if cache is None else cache
        for proof, verdict in run_proofs(chosen, provers, output, cache=kept, jobs=jobs, limit_s=limit):
            verdicts[proof] = verdict
            progress(proof.name, len(verdicts), len(chosen))
            how = "kept" if verdict.kept else f"{verdict.seconds:.1f} s"
            typer.echo(f"[{len(verdicts):2}/{len(chosen)}] {proof.name}: {report.outcome(verdict)} ({how})")
    verdicts = {proof: verdicts[proof] for proof in chosen}
    report.write_junit(verdicts, output / "results.xml")
    caught = []
    with progress_display() as progress:
        for found in plant(repository, output / "faults", planted, jobs):
            caught.append(found)
            progress(found.fault.name, len(caught), len(planted))
            what = f"caught by {found.caught_by}" if found.caught_by is not None else "SURVIVES"
            typer.echo(f"[{len(caught):2}/{len(planted)}] {found.fault.name}: {what}")
    words = [*(["--only", only] if only else []), *["--short"] * short, *["--faults"] * faults]
    text = report.markdown(verdicts, caught, " ".join(["fineq formal", *words]), provers.versions())
    for directory in {output, results} - {None}:
        assert directory is not None
        typer.echo(f"wrote {write_text(directory / 'formal.md', text)}")
    wrong = [proof.name for proof, verdict in verdicts.items() if not verdict.proven]
    if wrong:
        traces = [verdict.trace for verdict in verdicts.values() if verdict.trace]
        waveform = f"; waveform: {traces[0]}" if traces else ""
        raise CheckFailed(f"{len(wrong)} of {len(verdicts)} proofs do not hold: {', '.join(wrong)}{waveform}")
    survivors = [found.fault.name for found in caught if found.caught_by is None]
    if survivors:
        raise CheckFailed(f"{len(survivors)} of {len(caught)} planted faults survive: {', '.join(survivors)}")
