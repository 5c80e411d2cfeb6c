"""Makes a failing mutant small: fewer changes, then fewer bytes, as long as the reader fails in the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fineq_sim.fuzz.files.mutation import Recipe, mutate
from fineq_sim.fuzz.files.parts import Case

Fails = Callable[[Case], bool]

MOST_TRIALS = 3000
"""Cases that are tried for one failure."""


def fewer_changes(case: Case, recipe: Recipe, fails: Fails) -> Recipe:
    """Leave out changes that the failure does not need."""
    seeds = list(recipe.seeds)
    for seed in recipe.seeds:
        without = [each for each in seeds if each != seed]
        if without and fails(mutate(case, replace(recipe, seeds=tuple(without))).case):
            seeds = without
    return replace(recipe, seeds=tuple(seeds))


def fewer_bytes(case: Case, fails: Fails) -> Case:
    """Leave out pieces of the files, long ones first. Checksums that hold stay as they are."""
    left = MOST_TRIALS
    for number in range(len(case.shards) + 1):
        content = _content(case, number)
        size = len(content)
        while size and left > 0:
            place = 0
            while place < len(content) and left > 0:
                shorter = content[:place] + content[place + size :]
                trial = _with(case, number, shorter)
                left -= 1
                if fails(trial):
                    case, content = trial, shorter
                else:
                    place += size
            size //= 2
    return case


def _content(case: Case, number: int) -> bytes:
    return case.shards[number] if number < len(case.shards) else case.config


def _with(case: Case, number: int, content: bytes) -> Case:
    if number == len(case.shards):
        return Case(case.shards, content)
    return Case((*case.shards[:number], content, *case.shards[number + 1 :]), case.config)
