"""Mutants: a checkpoint, and changes that are drawn one after another from numbers, so that any can be left out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random

from fineq_sim.fuzz.files.changes import STRUCTURED, config_field
from fineq_sim.fuzz.files.parts import Case, Parts
from fineq_sim.fuzz.files.raw_changes import ANYWHERE, IN_TEXT, lie_about_length

_ANYWHERE, _IN_TEXT, _STRUCTURED = list(ANYWHERE.values()), list(IN_TEXT.values()), list(STRUCTURED.values())
_CHANGES = (1, 1, 1, 1, 2, 2, 3)


@dataclass(frozen=True)
class Recipe:
    """How a mutant is made.

    Attributes:
        kind: `bytes`: anywhere in a file; `header`: in its header text; `structure`: in what the file says, under
            the old checksums; `signed`: the same, with honest checksums; `config`: in the text of config.json;
            `setting`: in a field of config.json, which the weight files repeat.
        shard: which file.
        seeds: of the changes.
    """

    kind: str
    shard: int
    seeds: tuple[int, ...]


KINDS = {"bytes": 48, "header": 48, "structure": 48, "signed": 48, "config": 2, "setting": 1}
"""How often each kind is drawn."""

_KINDS, _WEIGHTS = list(KINDS), list(KINDS.values())


def draw_recipe(draw: Random, case: Case) -> Recipe:
    (kind,) = draw.choices(_KINDS, _WEIGHTS)
    shard = draw.randrange(len(case.shards))
    return Recipe(kind, shard, tuple(draw.getrandbits(32) for _ in range(draw.choice(_CHANGES))))


@dataclass(frozen=True)
class Mutant:
    """A changed checkpoint. `honest`: its checksums and the config that its files repeat are right."""

    case: Case
    honest: bool = False


def mutate(case: Case, recipe: Recipe) -> Mutant:
    """The mutant. A file that cannot be taken apart is changed byte by byte."""
    shards, config = list(case.shards), case.config
    kind = recipe.kind
    if kind == "config":
        changed = bytearray(config)
        for draw in map(Random, recipe.seeds):
            draw.choice(_IN_TEXT)(changed, draw)
        return Mutant(Case(tuple(shards), bytes(changed)))
    if kind in ("structure", "signed", "setting"):
        try:
            return Mutant(_restructured(case, recipe), honest=kind != "structure")
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            pass  # of a mutant of a mutant, which is no safetensors file any more
    content = bytearray(shards[recipe.shard])
    if kind == "header":
        length = min(int.from_bytes(content[:8], "little"), len(content))
        text = content[8 : 8 + length]
        for draw in map(Random, recipe.seeds):
            draw.choice(_IN_TEXT)(text, draw)
        fitted = len(text).to_bytes(8, "little") if recipe.seeds and recipe.seeds[0] & 3 else bytes(content[:8])
        shards[recipe.shard] = fitted + bytes(text) + bytes(content[8 + length :])
        return Mutant(Case(tuple(shards), config))
    for draw in map(Random, recipe.seeds):
        change = draw.choice(_ANYWHERE) if draw.random() < 0.9 else lie_about_length
        change(content, draw)
    shards[recipe.shard] = bytes(content)
    return Mutant(Case(tuple(shards), config))


def _restructured(case: Case, recipe: Recipe) -> Case:
    parts = Parts(case.shards[recipe.shard], json.loads(case.config))
    for draw in map(Random, recipe.seeds):
        change = config_field if recipe.kind == "setting" else draw.choice(_STRUCTURED)
        change(parts, draw)
    shards = list(case.shards)
    if recipe.kind != "structure":
        total = len(parts.header)
        for number, other in enumerate(case.shards):
            if number != recipe.shard:
                neighbour = Parts(other, parts.config)
                total += len(neighbour.header)
        parts.sign(total)
        for number, other in enumerate(case.shards):
            if number != recipe.shard:
                neighbour = Parts(other, parts.config)
                neighbour.sign(total)
                shards[number] = neighbour.join()
    shards[recipe.shard] = parts.join()
    # As text: to Python 1, 1.0 and true are equal, to the checksum of what the files repeat they are not.
    config = json.dumps(parts.config)
    return Case(tuple(shards), config.encode() if json.dumps(json.loads(case.config)) != config else case.config)
