"""A run of the fuzz over packed files: draws mutants, loads them, counts, keeps what is new and what fails."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from random import Random

from fineq_sim.fuzz.files.corpus import Corpus, case_name
from fineq_sim.fuzz.files.judge import Judge, Manner, Outcome, limits
from fineq_sim.fuzz.files.minimise import Fails, fewer_bytes, fewer_changes
from fineq_sim.fuzz.files.mutation import Mutant, Recipe, draw_recipe, mutate
from fineq_sim.fuzz.files.parts import Case
from fineq_sim.fuzz.files.seeds import make_seeds
from fineq_sim.fuzz.tally import Failure, Tally

SOUND_EVERY, MEMORY_EVERY = 4, 256
"""Of how many mutants one is asked whether it was refused wrongly, and what it made the reader allocate."""


def fuzz_files(
    seed: int,
    count: int,
    output: Path,
    *,
    seconds: float | None = None,
    corpus: Corpus | None = None,
) -> Tally:
    """Load mutants of packed files.

    Args:
        seed: the same seed and corpus give the same mutants.
        count: how many; with `seconds`, at most.
        output: directory for the corpus and for failures.
        seconds: how long.
        corpus: to begin with; None: the seeds, and what earlier runs have kept in `output`.

    Returns:
        What came of them. Failures are minimised and lie in `output`.
    """
    from transformers.utils import logging

    logging.set_verbosity(logging.CRITICAL)  # it has much to say about mutants of config.json
    corpus = Corpus(make_seeds(), output / "corpus") if corpus is None else corpus
    tally, draw = Tally(), Random(seed)
    started, processor = time.monotonic(), time.process_time()
    place = Path(tempfile.mkdtemp(prefix="fineq-fuzz-", dir=_quick_place()))
    judge = Judge(place)
    try:
        with limits():
            for case in corpus.cases.values():
                outcome = judge.judge(case)
                corpus.learn(outcome)
                if outcome.verdict == "fault":
                    tally.add(outcome.verdict, outcome.place, outcome.sentence)
                    if tally.is_new(outcome.place):
                        tally.fail(_smallest(output, case, outcome, Manner(), judge))
            while tally.count < count and not _late(started, seconds, tally.count):
                _step(corpus, judge, draw, tally, output)
    finally:
        judge.close()
        shutil.rmtree(place, ignore_errors=True)
    tally.seconds, tally.processor_seconds = time.monotonic() - started, time.process_time() - processor
    return tally


def show(directory: Path) -> Outcome:
    """Load one case from a directory, for example of a failure."""
    case = Case.read(directory)
    with tempfile.TemporaryDirectory() as place, limits():
        judge = Judge(Path(place))
        try:
            return judge.judge(case, Manner.read(directory))
        finally:
            judge.close()


def _late(started: float, seconds: float | None, count: int) -> bool:
    return seconds is not None and count % 64 == 0 and time.monotonic() - started >= seconds


def _quick_place() -> str | None:
    """A file system in memory, where there is one: files are written as often as they are read."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() else None


def _step(corpus: Corpus, judge: Judge, draw: Random, tally: Tally, output: Path) -> None:
    case = corpus.draw(draw)
    recipe = draw_recipe(draw, case)
    mutant = mutate(case, recipe)
    manner = _manner(case, mutant, recipe, tally.count)
    outcome = judge.judge(mutant.case, manner)
    tally.add(outcome.verdict, outcome.place, outcome.sentence)
    if outcome.verdict == "fault":
        if tally.is_new(outcome.place):
            tally.fail(_minimal(output, case, recipe, outcome, manner, judge))
    elif corpus.learn(outcome):
        corpus.add(mutant.case)


def _manner(case: Case, mutant: Mutant, recipe: Recipe, number: int) -> Manner:
    return Manner(
        origin=case.config if recipe.kind == "config" else None,
        sound=mutant.honest and number % SOUND_EVERY == 0,
        memory=number % MEMORY_EVERY == 0,
    )


def _minimal(output: Path, case: Case, recipe: Recipe, outcome: Outcome, manner: Manner, judge: Judge) -> Failure:
    """A smaller mutant that fails in the same way, written down."""
    recipe = fewer_changes(case, recipe, _fails(outcome, manner, judge))
    return _smallest(output, mutate(case, recipe).case, outcome, manner, judge)


def _fails(outcome: Outcome, manner: Manner, judge: Judge) -> Fails:
    """Whether a case fails in the same way."""

    def fails(trial: Case) -> bool:
        again = judge.judge(trial, manner)
        return (again.verdict, again.place) == (outcome.verdict, outcome.place)

    return fails


def _smallest(output: Path, case: Case, outcome: Outcome, manner: Manner, judge: Judge) -> Failure:
    case = fewer_bytes(case, _fails(outcome, manner, judge))
    directory = output / "failures" / f"files-{case_name(case)}"
    case.write(directory)
    manner.write(directory)
    return Failure(outcome.place, outcome.sentence, directory, f"fineq fuzz --show {directory}")
