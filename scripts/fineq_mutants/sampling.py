"""Which faults are tried: in each block the kinds in turn, spread over the lines of its source."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fineq_mutants.circuits import Circuit
from fineq_mutants.operators import KINDS, Site, sites


@dataclass(frozen=True)
class Mutant:
    """One fault in one circuit, and the number that brings it to life."""

    number: int
    block: str
    module: str
    site: Site

    @property
    def name(self) -> str:
        return f"{self.module} {self.site.cell} {self.site.text}"


def shares(room: Mapping[str, int], total: int) -> dict[str, int]:
    """Faults of each block: by the square root of the room that it has, and never more than that."""
    left, given = total, {}
    waiting = sorted(room, key=lambda block: (room[block], block))
    for place, block in enumerate(waiting):
        weights = [math.sqrt(room[other]) for other in waiting[place:]]
        given[block] = min(room[block], round(left * weights[0] / sum(weights)) if sum(weights) else 0)
        left -= given[block]
    return given


def sample(circuits: Sequence[Circuit], total: int, seed: int) -> list[Mutant]:
    """Choose faults; the same circuits, total and seed give the same ones."""
    room: dict[str, list[tuple[str, Site]]] = defaultdict(list)
    for circuit in circuits:
        room[circuit.block] += [(circuit.module, site) for site in sites(circuit.copy())]
    # Neither the width of a word nor the number of configurations makes a block larger.
    places = {
        block: len({(site.source, site.cell_type, site.port, site.kind) for _, site in found})
        for block, found in room.items()
    }
    counts = shares(places, total)
    chosen: list[Mutant] = []
    for block in sorted(room):
        for module, site in _spread(room[block], counts[block], random.Random(f"{seed}/{block}")):
            chosen.append(Mutant(len(chosen) + 1, block, module, site))
    return chosen


def _spread(found: Sequence[tuple[str, Site]], count: int, source: random.Random) -> list[tuple[str, Site]]:
    """Kinds in turn; of a kind the place in the sources, then the circuit and the cell, that was taken least often."""
    by_kind: dict[str, list[tuple[str, Site]]] = {kind: [] for kind in KINDS}
    for module, site in found:
        by_kind[site.kind].append((module, site))
    for candidates in by_kind.values():
        source.shuffle(candidates)
    lines: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    cells: Counter[tuple[str, str]] = Counter()
    taken: list[tuple[str, Site]] = []
    while len(taken) < count:
        for candidates in by_kind.values():
            if candidates and len(taken) < count:
                best = min(
                    range(len(candidates)),
                    key=lambda at, of=candidates: (  # type: ignore[misc]
                        lines[of[at][1].source],
                        modules[of[at][0]],
                        cells[of[at][0], of[at][1].cell],
                    ),
                )
                module, site = candidates.pop(best)
                lines[site.source] += 1
                modules[module] += 1
                cells[module, site.cell] += 1
                taken.append((module, site))
    return taken
