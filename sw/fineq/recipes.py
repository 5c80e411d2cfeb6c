"""Recipes: the readings of the paper that the quantizer can follow, each a set of named switches.

The paper leaves several points open (docs/format.md does not depend on any of them). Every switch below is
one such point; `paper` is the most defensible reading of the text, the other recipes change one thing each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from fineq.errors import FineqError

CHOICES: dict[str, tuple[str, ...]] = {
    "axis": ("row", "column"),
    "comparison": ("absolute", "signed"),
    "pairs": ("text", "argmin"),
    "loss": ("squared", "absolute"),
    "scale": ("absmax", "mse"),
}
"""Allowed values of every switch that is a word."""


@dataclass(frozen=True)
class Recipe:
    """How to turn a weight matrix into FineQ codes.

    Attributes:
        axis: what a channel is. `row`: an output row, with clusters along the inner dimension; the only one
            that the hardware computes, because a row's scale can be applied after accumulation. `column`: an
            input column ('outliers concentrate within specific channels'), with clusters down the column.
        comparison: what `max` and `min` of a cluster look at. `absolute`: magnitudes. `signed`: the values
            themselves, as lines 6 and 7 of Algorithm 1 literally say.
        threshold: a cluster has outliers when max > threshold * min (Section III-A: four times).
        pairs: when the two clusters of a pair choose a common code by loss. `text`: only if their own codes
            differ (Section III-B). `argmin`: always (Algorithm 1, line 21).
        loss: error that the choice minimises, summed over the pair.
        scale: `absmax`: largest magnitude of the channel / 3 (Equation 1 with b = 3). `mse`: the multiple of
            that on the grid `fineq.quantizer.SCALE_GRID` with the least loss over the channel.
        name: what reports and manifests call it.
    """

    axis: str = "row"
    comparison: str = "absolute"
    threshold: float = 4.0
    pairs: str = "text"
    loss: str = "squared"
    scale: str = "absmax"
    name: str = "custom"

    def __post_init__(self) -> None:
        for switch, allowed in CHOICES.items():
            value = getattr(self, switch)
            if value not in allowed:
                raise FineqError(f"{switch} is {value!r}: choose one of {', '.join(allowed)}")
        threshold = self.threshold
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold < math.inf:
            raise FineqError(f"threshold is {threshold!r}: it must be a positive number")

    def with_options(self, **options: Any) -> Recipe:
        """The same recipe with some switches changed; its name tells which."""
        known = [field.name for field in fields(self) if field.name != "name"]
        for option in options:
            if option not in known:
                raise FineqError(f"unknown recipe option {option!r}: choose from {', '.join(known)}")
        if not options:
            return self
        name = ",".join([self.name, *(f"{option}={options[option]}" for option in known if option in options)])
        return replace(self, **options, name=name)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(name="paper"),
        Recipe(name="paper-argmin", pairs="argmin"),
        Recipe(name="paper-signed", comparison="signed"),
        Recipe(name="paper-column", axis="column"),
        Recipe(name="paper-mse", scale="mse"),
        Recipe(name="mse", pairs="argmin", scale="mse"),
    )
}
"""Named recipes. `mse` is the most accurate of them that needs no calibration data."""


def find_recipe(recipe: str | Recipe, **options: Any) -> Recipe:
    """A recipe by name (or as it is), with options applied.

    Raises:
        FineqError: the name or an option is unknown, or a value is not allowed.
    """
    if not isinstance(recipe, Recipe):
        if recipe not in RECIPES:
            raise FineqError(f"unknown recipe {recipe!r}: choose one of {', '.join(RECIPES)}")
        recipe = RECIPES[recipe]
    return recipe.with_options(**options)
