"""The page and the data of a campaign."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fineq.common.errors import FineqError
from fineq.common.markdown import table
from fineq_mutants.campaign import BENCH, EQUIVALENT, LOST, OPEN, PROOF, SURVIVES, UNDECIDED, Outcome
from fineq_mutants.operators import KINDS

_INTRODUCTION = """\
# Mutants that nobody chose

Command: `{command}` (seed {seed}). Versions: {versions}.

Faults made by rule in the netlists of the named configurations of the smallest size
([how](../flows/verification.md#mutants-that-nobody-chose)): {count}, of which {noticed} are noticed, {equivalent} are
proven equivalent and {survivors} survive{open}. Score without the equivalent ones: {score}.
A lost proof is one that is found in seconds without the fault, and neither found nor refuted with it: `fineq formal`
then fails. {taken_over} of these outcomes were taken over from earlier runs, with circuit, fault, bench and programs
unchanged.

"""

_UNFINISHED = (
    "; the campaign is not at its end: {} were let through by a bench and are undecided, which counts as not noticed, "
    "and {} have not been tried, which does not count"
)

_NOTICED = (BENCH, PROOF, LOST)
_COLUMNS = (*_NOTICED, EQUIVALENT, SURVIVES, UNDECIDED, OPEN)


def score(outcomes: Sequence[Outcome]) -> float:
    """Share of the mutants that are noticed, of those that are neither equivalent nor open; 1 if there are none."""
    real = [outcome for outcome in outcomes if outcome.result not in (EQUIVALENT, OPEN)]
    return sum(outcome.result in _NOTICED for outcome in real) / len(real) if real else 1.0


def _counts(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    numbers = [sum(outcome.result == result for outcome in outcomes) for result in _COLUMNS]
    tried = any(outcome.result not in (EQUIVALENT, OPEN) for outcome in outcomes)
    return (name, str(len(outcomes)), *map(str, numbers), f"{100 * score(outcomes):.1f} %" if tried else "-")


def place(outcome: Outcome) -> str:
    """Where a fault is in the sources."""
    return outcome.mutant.site.source.replace("|", ", ") or f"cell {outcome.mutant.site.cell}"


def load_explanations(file: Path) -> dict[tuple[str, str, str], str]:
    """Why mutants survive, by block, place in the sources and change.

    Raises:
        FineqError: it is no such file.
    """
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8")).get("survivor", [])
        return {(entry["block"], entry["source"], entry["change"]): entry["why"] for entry in entries}
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise FineqError(f"{file} is no list of explanations: {error}") from None


def _key(outcome: Outcome) -> tuple[str, str, str]:
    return outcome.mutant.block, place(outcome), outcome.mutant.site.text


def markdown(
    outcomes: Sequence[Outcome],
    explanations: Mapping[tuple[str, str, str], str],
    command: str,
    seed: int,
    versions: Sequence[str],
) -> str:
    """The page."""
    results = [outcome.result for outcome in outcomes]
    text = _INTRODUCTION.format(
        command=command,
        seed=seed,
        versions=", ".join(versions),
        count=len(outcomes),
        noticed=sum(map(results.count, _NOTICED)),
        equivalent=results.count(EQUIVALENT),
        survivors=results.count(SURVIVES),
        open=_UNFINISHED.format(results.count(UNDECIDED), results.count(OPEN))
        if {UNDECIDED, OPEN} & {*results}
        else "",
        score=f"{100 * score(outcomes):.1f} %",
        taken_over=sum(outcome.taken_over and outcome.result != OPEN for outcome in outcomes),
    )
    head = (
        "mutants",
        "by a bench",
        "by a proof",
        "by a lost proof",
        "equivalent",
        "survive",
        "undecided",
        "open",
        "score",
    )
    blocks = sorted({outcome.mutant.block for outcome in outcomes})
    rows = [_counts(block, [o for o in outcomes if o.mutant.block == block]) for block in blocks]
    text += table(("block", *head), [*rows, _counts("all", outcomes)], "lrrrrrrrrr")
    text += "\n## By kind of fault\n\n"
    rows = [
        (*_counts(kind, [o for o in outcomes if o.mutant.site.kind == kind]), rule.meaning)
        for kind, rule in KINDS.items()
    ]
    text += table(("kind", *head, "what it is"), rows, "lrrrrrrrrrl")
    left = [outcome for outcome in outcomes if outcome.result in (SURVIVES, UNDECIDED)]
    if left:
        text += "\n## Survivors and undecided ones\n\n"
        rows = [(*_key(o), explanations.get(_key(o), "not explained")) for o in left]
        text += table(("block", "where", "what", "why it survives"), rows)
    equivalent = [outcome for outcome in outcomes if outcome.result == EQUIVALENT]
    if equivalent:
        text += "\n## Proven equivalent\n\n"
        rows = [(*_key(o), "itself" if o.by == o.mutant.module else o.by) for o in equivalent]
        text += table(("block", "where", "what", "at the ports of"), rows)
    return text


def as_json(outcomes: Sequence[Outcome]) -> list[dict]:
    """Every mutant and what became of it."""
    return [asdict(outcome.mutant) | {"result": outcome.result, "by": outcome.by} for outcome in outcomes]


def data(outcomes: Sequence[Outcome], seed: int, verdicts: Mapping[str, Any]) -> str:
    """The data as JSON: what became of the mutants, and the verdicts behind it, an entry a line."""
    mutants, known = as_json(outcomes), {name: value for name, value in sorted(verdicts.items())}
    lines = [
        ",\n".join(map(json.dumps, mutants)),
        ",\n".join(f"{json.dumps(n)}: {json.dumps(v)}" for n, v in known.items()),
    ]
    return f'{{"seed": {seed},\n"mutants": [\n{lines[0]}\n],\n"verdicts": {{\n{lines[1]}\n}}}}\n'
