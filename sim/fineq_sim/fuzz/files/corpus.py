"""Checkpoints that mutants are made from: the seeds, and every mutant that took the reader where none had."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

from fineq_sim.fuzz.files.judge import Outcome
from fineq_sim.fuzz.files.parts import Case

LARGEST_BYTES = 1 << 14
"""Larger mutants are not kept: they would slow down all that are made from them."""

MOST = 400
"""So many mutants are kept."""


class Corpus:
    """Cases by name.

    Args:
        seeds: cases that are always there.
        directory: where the others are kept, one directory each, and found again by a later run; None: nowhere.
    """

    def __init__(self, seeds: dict[str, Case], directory: Path | None = None) -> None:
        self._seeds, self._directory = dict(seeds), directory
        self._grown: dict[str, Case] = {}
        self._known: set[tuple[object, ...]] = set()
        if directory is not None and directory.is_dir():
            self._grown = {path.name: Case.read(path) for path in sorted(directory.iterdir()) if path.is_dir()}

    def __len__(self) -> int:
        return len(self._seeds) + len(self._grown)

    @property
    def cases(self) -> dict[str, Case]:
        return self._seeds | self._grown

    def draw(self, draw: Random) -> Case:
        """A seed half of the time."""
        pool = self._grown if self._grown and draw.random() < 0.5 else self._seeds
        return pool[draw.choice(list(pool))]

    def learn(self, outcome: Outcome) -> bool:
        """Whether an outcome is new."""
        key = (outcome.verdict, outcome.trail)
        if key in self._known:
            return False
        self._known.add(key)
        return True

    def add(self, case: Case) -> None:
        """Keep a mutant."""
        if case.nbytes > LARGEST_BYTES or len(self._grown) >= MOST:
            return
        name = case_name(case)
        self._grown[name] = case
        if self._directory is not None:
            case.write(self._directory / name)


def case_name(case: Case) -> str:
    digest = hashlib.blake2b(case.config, digest_size=6)
    for shard in case.shards:
        digest.update(shard)
    return digest.hexdigest()
