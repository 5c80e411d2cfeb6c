"""`fineq fuzz`: random packed files and random machine use (docs/flows/verification.md).

fineq fuzz                                  # 1,000,000 files and 1,000 cases
fineq fuzz --minutes 60                     # half of the time for each; goes on where the last run ended
fineq fuzz --only files --mutants 100000
fineq fuzz --show build/fuzz/failures/...   # one failing input again
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed, FineqError
from fineq.common.files import write_text

PARTS = ("files", "machine")


def fuzz(
    output: Annotated[Path, typer.Option(help="Directory of the corpus, the counts and the failures.")] = Path(
        "build/fuzz"
    ),
    only: Annotated[str | None, typer.Option(help="files or machine; default: both.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="How long, both parts together.")] = None,
    mutants: Annotated[int, typer.Option(min=1, help="Files, unless minutes are given.")] = 1_000_000,
    cases: Annotated[int, typer.Option(min=1, help="Cases for the machine, unless minutes are given.")] = 1_000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the first run; later runs count on.")] = 1,
    show: Annotated[Path | None, typer.Option(help="Only try this input, a failure of an earlier run.")] = None,
    results: Annotated[Path | None, typer.Option(help="Directory to write fuzz.md to as well.")] = None,
) -> None:
    """Damage packed files and use the machine at random; whatever is not refused must be right."""
    if show is not None:
        _show(show)
        return
    if only is not None and only not in PARTS:
        raise FineqError(f"--only is {only!r}: choose one of {', '.join(PARTS)}")
    chosen = PARTS if only is None else (only,)
    seconds = None if minutes is None else 60 * minutes / len(chosen)
    failures = []
    if "files" in chosen:
        failures += _fuzz_files(output, seed, mutants, seconds)
    if "machine" in chosen:
        failures += _fuzz_machine(output, seed, cases, seconds)
    text = _page(output, only, minutes, mutants, cases)
    for directory in {output, results} - {None}:
        assert directory is not None
        typer.echo(f"wrote {write_text(directory / 'fuzz.md', text)}")
    for failure in failures:
        typer.echo(f"{failure.kind}: {failure.sentence}\n  {failure.command}")
    if failures:
        raise CheckFailed(f"the fuzz found {len(failures)} kinds of faults, first: {failures[0].kind}")


def _fuzz_files(output: Path, seed: int, mutants: int, seconds: float | None) -> list:
    from fineq.common.progress import progress_display
    from fineq_sim.fuzz.files.campaign import fuzz_files
    from fineq_sim.fuzz.tally import History

    state = output / "files.json"
    history = History.read(state)
    seed = history.next_seed(seed)
    count = mutants if seconds is None else 10**12
    with progress_display(lambda rate: f"{rate:,.0f} a second") as progress:
        tally = fuzz_files(seed, count, output, seconds=seconds, progress=progress if seconds is None else None)
    history.add(seed, tally)
    history.write(state)
    typer.echo(f"files: {tally.count:,} mutants in {tally.seconds:.0f} s, {history.tally.count:,} in all")
    return tally.failures


def _fuzz_machine(output: Path, seed: int, cases: int, seconds: float | None) -> list:
    from fineq.common.progress import progress_display
    from fineq_sim.fuzz.machine.campaign import fuzz_machine
    from fineq_sim.fuzz.tally import History

    state = output / "machine.json"
    history = History.read(state)
    seed = history.next_seed(seed)
    count = cases if seconds is None else 10**12
    with progress_display(lambda rate: f"{rate:,.1f} a second") as progress:
        tally, done = fuzz_machine(seed, count, output, seconds=seconds, progress=progress if seconds is None else None)
    history.add(seed, tally, done)
    history.write(state)
    typer.echo(f"machine: {done:,} cases in {tally.seconds:.0f} s, {history.cases:,} in all")
    return tally.failures


def _page(output: Path, only: str | None, minutes: float | None, mutants: int, cases: int) -> str:
    from fineq_sim.fuzz.machine.campaign import CONFIG
    from fineq_sim.fuzz.report import markdown
    from fineq_sim.fuzz.tally import History

    words = ["fineq fuzz", *(["--only", only] if only else [])]
    words += [f"--minutes {minutes:g}"] if minutes is not None else [f"--mutants {mutants}", f"--cases {cases}"]
    files, machine = (History.read(output / f"{part}.json") for part in PARTS)
    corpus = sum(path.is_dir() for path in (output / "corpus").glob("*"))
    return markdown(" ".join(words), files if files.seeds else None, corpus, machine if machine.seeds else None, CONFIG)


def _show(place: Path) -> None:
    """Try one input."""
    if place.is_dir():
        from fineq_sim.fuzz.files import campaign as files

        outcome = files.show(place)
        typer.echo(f"{outcome.verdict} {outcome.place} {outcome.sentence}".rstrip())
        if outcome.verdict == "fault":
            raise CheckFailed(f"the reader still fails on {place}: {outcome.place}")
        return
    if not place.is_file():
        raise FineqError(f"{place} does not exist: give a directory with files of a checkpoint, or a case")
    from fineq_sim.fuzz.machine import campaign as machine

    kind, details = machine.show(place)
    typer.echo(f"{kind}: {details}" if kind else "the machines agree")
    if kind:
        raise CheckFailed(f"the machines still differ on {place}: {kind}")
