"""What came of a run, and of all runs in a directory: the count goes on where the one before ended."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fineq.common.files import write_text


@dataclass(frozen=True)
class Failure:
    """An input that showed a fault.

    Attributes:
        kind: of fault.
        sentence: what was wrong.
        directory: where the input lies.
        command: that shows it again.
    """

    kind: str
    sentence: str
    directory: Path
    command: str


@dataclass
class Tally:
    """Counts of a run.

    Attributes:
        outcomes: how often by verdict and place (`accepted`, ``; `refused`, `container.py:235`).
        examples: the first sentence of each.
        failures: one for each kind of fault.
        seconds, processor_seconds: that it took.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    processor_seconds: float = 0.0
    count: int = 0

    def add(self, verdict: str, place: str = "", sentence: str = "", number: int = 1) -> None:
        key = (verdict, place)
        self.count += number
        self.outcomes[key] += number
        self.examples.setdefault(key, sentence)

    def is_new(self, place: str) -> bool:
        """Whether no failure of that kind has been written down."""
        return all(failure.kind != place for failure in self.failures)

    def fail(self, failure: Failure) -> None:
        self.failures.append(failure)

    def __iadd__(self, other: Tally) -> Tally:
        for (verdict, place), number in other.outcomes.items():
            self.add(verdict, place, other.examples[verdict, place], number)
        self.failures += other.failures
        self.seconds += other.seconds
        self.processor_seconds += other.processor_seconds
        return self


@dataclass
class History:
    """All runs of one part in a directory.

    Attributes:
        tally: of all of them together; of failures only the last run's.
        seeds: of the runs, in their order.
        cases: how many inputs were tried.
    """

    tally: Tally
    seeds: list[int]
    cases: int = 0

    @classmethod
    def read(cls, file: Path) -> History:
        """From a file; empty if there is none."""
        if not file.is_file():
            return cls(Tally(), [])
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        tally = Tally(seconds=content["seconds"], processor_seconds=content["processor_seconds"])
        for verdict, place, number, sentence in content["outcomes"]:
            tally.add(verdict, place, sentence, number)
        return cls(tally, content["seeds"], content["cases"])

    def add(self, seed: int, tally: Tally, cases: int) -> None:
        """One more run."""
        self.tally.failures = []
        self.tally += tally
        self.seeds.append(seed)
        self.cases += cases

    def next_seed(self, first: int) -> int:
        """Of the next run, if the first run had this one."""
        return max([first - 1, *self.seeds]) + 1

    def write(self, file: Path) -> None:
        tally = self.tally
        outcomes = [
            [verdict, place, number, tally.examples[verdict, place]]
            for (verdict, place), number in sorted(tally.outcomes.items())
        ]
        content = {
            "seeds": self.seeds,
            "cases": self.cases,
            "seconds": tally.seconds,
            "processor_seconds": tally.processor_seconds,
            "outcomes": outcomes,
        }
        write_text(file, json.dumps(content, indent=1))
