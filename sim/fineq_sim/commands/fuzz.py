"""`fineq fuzz`: random packed files and random machine use (docs/flows/verification.md).

fineq fuzz                                  # 1,000,000 files and 1,000 cases
fineq fuzz --minutes 60                     # half of the time for each; goes on where the last run ended
fineq fuzz --only files --mutants 100000
fineq fuzz --show build/fuzz/failures/...   # one failing input again
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fineq.common.errors import CheckFailed, FineqError
from fineq.common.files import write_text

if TYPE_CHECKING:
    from fineq_sim.fuzz.tally import Failure, Tally

PARTS = ("files", "machine")

CHUNKS = {"files": 50_000, "machine": 250}
"""How many are tried with one seed."""


def fuzz(
    output: Annotated[Path, typer.Option(help="Directory of the corpus, the counts and the failures.")] = Path(
        "build/fuzz"
    ),
    only: Annotated[str | None, typer.Option(help="files or machine; default: both.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="How long, both parts together.")] = None,
    mutants: Annotated[int, typer.Option(min=1, help="Files, unless minutes are given.")] = 1_000_000,
    cases: Annotated[int, typer.Option(min=1, help="Cases for the machine, unless minutes are given.")] = 1_000,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Random seed of the first run; later runs count on.")
    ] = 1,
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
    failures: list[Failure] = []
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


def _fuzz_files(output: Path, seed: int, mutants: int, seconds: float | None) -> list[Failure]:
    from fineq_sim.fuzz.files.campaign import fuzz_files
    from fineq_sim.fuzz.files.corpus import Corpus
    from fineq_sim.fuzz.files.seeds import make_seeds

    corpus = Corpus(make_seeds(), output / "corpus")

    def run(seed: int, count: int, seconds: float | None) -> tuple[Tally, int]:
        tally = fuzz_files(seed, count, output, seconds=seconds, corpus=corpus)
        return tally, tally.count

    return _in_chunks("files", output, seed, mutants, seconds, CHUNKS["files"], run)


def _fuzz_machine(output: Path, seed: int, cases: int, seconds: float | None) -> list[Failure]:
    from fineq_sim.fuzz.machine.campaign import fuzz_machine

    def run(seed: int, count: int, seconds: float | None) -> tuple[Tally, int]:
        return fuzz_machine(seed, count, output, seconds=seconds)

    return _in_chunks("machine", output, seed, cases, seconds, CHUNKS["machine"], run)


def _in_chunks(
    part: str,
    output: Path,
    seed: int,
    count: int,
    seconds: float | None,
    chunk: int,
    run: Callable[[int, int, float | None], tuple[Tally, int]],
) -> list[Failure]:
    """One run after another, each with the next seed, its counts written down at once; a stopped fuzz loses one."""
    from fineq.common.progress import progress_display
    from fineq_sim.fuzz.tally import History

    state = output / f"{part}.json"
    history = History.read(state)
    failures: dict[str, Failure] = {}
    started, done = time.monotonic(), 0
    with progress_display(lambda rate: f"{rate:,.0f}/s") as progress:
        while True:
            left = None if seconds is None else seconds - (time.monotonic() - started)
            size = chunk if left is not None else min(chunk, count - done)
            if size <= 0 or (left is not None and left <= 0):
                break
            tally, number = run(history.next_seed(seed), size, left)
            for failure in tally.failures:
                failures.setdefault(failure.kind, failure)
            history.add(history.next_seed(seed), tally, number)
            history.write(state)
            done += number
            passed = int(time.monotonic() - started)
            progress(
                f"{part}: {history.cases:,} in all",
                *((done, count) if seconds is None else (min(passed, int(seconds)), max(int(seconds), 1))),
            )
    typer.echo(f"{part}: {done:,} in {time.monotonic() - started:.0f} s, {history.cases:,} in all")
    return list(failures.values())


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
