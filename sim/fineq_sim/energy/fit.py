"""Arrays of sizes that nobody has synthesised: each block grows with a power of the number of elements.

Where a design was synthesised in two sizes, the powers are its own, so that both come out as measured; otherwise they
are the means over the others of its sort. How far such a law is off is found by leaving each design out in turn. An
encoding without any synthesis has no figures here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fineq_hw.config import ArrayConfig, MacConfig
from fineq_sim.energy.synthesis import MissingSynthesis, SynthesisedArray, SynthesisReports, top_of

QUANTITIES = ("dynamic", "leakage", "area")


@dataclass(frozen=True)
class HeldOut:
    """A design predicted without itself: predicted over measured, by quantity, summed over its blocks."""

    top: str
    ratios: Mapping[str, float]


class ArrayFit:
    """Figures of arrays of any size.

    Args:
        reports: of synthesis.
    """

    def __init__(self, reports: SynthesisReports) -> None:
        self._families: dict[str, list[SynthesisedArray]] = {}
        for design in reports.designs.values():
            self._families.setdefault(design.kind, []).append(design)
        for family in self._families.values():
            family.sort(key=lambda design: design.rows * design.columns)

    def array(self, config: ArrayConfig | MacConfig) -> tuple[SynthesisedArray, bool]:
        """Figures of an array, and whether they were measured at this size.

        Raises:
            MissingSynthesis: no size of it has been synthesised.
        """
        for size in ((64, 64), (16, 16)):
            top = top_of(replace(config, rows=size[0], columns=size[1]))
            family = next((each for each in self._families.values() for design in each if design.top == top), None)
            if family is not None:
                break
        else:
            raise MissingSynthesis(f"{config.weight_code} with these settings has not been synthesised in any size")
        elements = config.rows * config.columns
        exact = [each for each in family if (each.rows, each.columns) == (config.rows, config.columns)]
        if exact:
            return exact[0], True
        nearest = min(family, key=lambda each: abs(math.log(elements / (each.rows * each.columns))))
        powers = _powers([family] if len(family) > 1 else self._like(family[0]))
        return _grown(nearest, config.rows, config.columns, powers), False

    def _like(self, design: SynthesisedArray) -> list[list[SynthesisedArray]]:
        """The other families of the same sort: those with the same blocks."""
        return [
            family
            for family in self._families.values()
            if design not in family and len(family) > 1 and _blocks(family[0]) == _blocks(design)
        ]

    def held_out(self) -> list[HeldOut]:
        """Each design of two sizes, the smaller one predicted from the larger one with the powers of the others."""
        found = []
        for family in self._families.values():
            others = self._like(family[0])
            if len(family) < 2 or not others:
                continue
            powers = _powers(others)
            small, large = family[0], family[-1]
            guess = _grown(large, small.rows, small.columns, powers)
            ratios = {
                quantity: sum(getattr(guess, quantity).values()) / sum(getattr(small, quantity).values())
                for quantity in QUANTITIES
            }
            found.append(HeldOut(small.top, ratios))
        return found

    def sentence(self) -> str:
        """How far the fit is off on designs that it has not seen."""
        held = self.held_out()
        parts = []
        for quantity, name in (("area", "area"), ("dynamic", "energy of a step"), ("leakage", "leakage")):
            errors = sorted((abs(each.ratios[quantity] - 1) for each in held), reverse=True)
            parts.append(f"{name} {errors[len(errors) // 2]:.0%} in the median and {errors[0]:.0%} at worst")
        return (
            f"Arrays between and beyond the synthesised sizes are estimated; leaving out each of {len(held)} designs "
            f"in turn, its 16x16 array is predicted from its 64x64 one to {', '.join(parts)}"
        )


def _powers(families: Sequence[Sequence[SynthesisedArray]]) -> dict[tuple[str, str], float]:
    """Mean powers by quantity and block, of families of two sizes."""
    seen: dict[tuple[str, str], list[float]] = {}
    for family in families:
        small, large = family[0], family[-1]
        growth = math.log(large.rows * large.columns / (small.rows * small.columns))
        for quantity in QUANTITIES:
            low, high = getattr(small, quantity), getattr(large, quantity)
            for block in low.keys() & high.keys():
                if low[block] > 0 and high[block] > 0:
                    seen.setdefault((quantity, block), []).append(math.log(high[block] / low[block]) / growth)
    return {key: sum(powers) / len(powers) for key, powers in seen.items()}


def _blocks(design: SynthesisedArray) -> bool:
    """Designs with decoders are of one sort, those without of the other."""
    return "decoders" in design.area


def _grown(
    design: SynthesisedArray, rows: int, columns: int, powers: Mapping[tuple[str, str], float]
) -> SynthesisedArray:
    ratio = rows * columns / (design.rows * design.columns)

    def grown(quantity: str) -> dict[str, float]:
        values: Mapping[str, float] = getattr(design, quantity)
        return {block: value * ratio ** powers.get((quantity, block), 1.0) for block, value in values.items()}

    return replace(
        design,
        rows=rows,
        columns=columns,
        source=f"estimated from {design.top}",
        dynamic=grown("dynamic"),
        leakage=grown("leakage"),
        area=grown("area"),
    )
