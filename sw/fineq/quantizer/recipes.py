"""Recipes: the readings of the paper that the quantizer can follow, each a set of named switches.

The paper leaves several points open (docs/quantizer/format.md depends on none of them). The switches up to `scale`
are such points; `paper` is the most defensible reading of the text, the recipes around it change one thing each.
The last three switches make a recipe take the array's cycles into account, which the paper does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from fineq.common.errors import FineqError
from fineq.format import PAIR_WEIGHTS
from fineq.format.temporal import PULSES
from fineq.quantizer.arithmetic import CLIPPED_GRID, SCALE_GRID

CHOICES: dict[str, tuple[str, ...]] = {
    "axis": ("row", "column"),
    "comparison": ("absolute", "signed"),
    "pairs": ("text", "argmin"),
    "loss": ("squared", "absolute"),
    "scale": ("absmax", "mse", "mse-clipped"),
}
"""Allowed values of every switch that is a word and that the paper leaves open."""

SMALLEST_ARRAY = PAIR_WEIGHTS
"""Columns of an array below which a pair could reach over three weight vectors."""

LARGEST_WEIGHT = 1000
"""Of a cycle: from about 1 on every vector takes one cycle, and far beyond this the integer sums would overflow."""

CYCLE_WEIGHT = 0.03
"""Of the recipes that end in `-cycles`: see docs/quantizer/encodings.md."""


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
            that on the grid `fineq.quantizer.arithmetic.SCALE_GRID` with the least loss over the channel, up to
            absmax itself, at which ternary rows are exact. `mse-clipped`: only up to absmax / 3 (`CLIPPED_GRID`).
        cycle_weight: normalised squared error that one cycle less per weight vector is worth (`quantizer.cycle_aware`);
            0: cycles do not count.
        encoding: how the array represents weights in time, one of `fineq.format.temporal.PULSES`. This and the next
            decide nothing without a cycle weight.
        columns: of the array, at least 6: a weight vector holds that many weights of a row.
        name: what reports and manifests call it.
    """

    axis: str = "row"
    comparison: str = "absolute"
    threshold: float = 4.0
    pairs: str = "text"
    loss: str = "squared"
    scale: str = "absmax"
    cycle_weight: float = 0.0
    encoding: str = "unary"
    columns: int = 64
    name: str = "custom"

    def __post_init__(self) -> None:
        for switch, allowed in CHOICES.items():
            value = getattr(self, switch)
            if value not in allowed:
                raise FineqError(f"{switch} is {value!r}: choose one of {', '.join(allowed)}")
        threshold = self.threshold
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold < math.inf:
            raise FineqError(f"threshold is {threshold!r}: it must be a positive number")
        weight = self.cycle_weight
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= LARGEST_WEIGHT:
            raise FineqError(f"cycle_weight is {weight!r}: it must be a number from 0 to {LARGEST_WEIGHT}")
        if weight and self.axis != "row":
            raise FineqError(f"cycle_weight is {weight!r} with axis {self.axis!r}: the array computes axis 'row' only")
        if self.encoding not in PULSES:
            raise FineqError(f"encoding is {self.encoding!r}: choose one of {', '.join(PULSES)}")
        columns = self.columns
        if isinstance(columns, bool) or not isinstance(columns, int) or columns < SMALLEST_ARRAY:
            raise FineqError(f"columns is {columns!r}: it must be a whole number, at least {SMALLEST_ARRAY}")

    def search_grid(self) -> tuple[int, ...]:
        """Scales that the search tries, in the units of `fineq.quantizer.arithmetic.grid_scales`; none without one."""
        grids: dict[str, tuple[int, ...]] = {"absmax": (), "mse": SCALE_GRID, "mse-clipped": CLIPPED_GRID}
        return grids[self.scale]

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
        Recipe(name="mse-clipped", pairs="argmin", scale="mse-clipped"),
        Recipe(name="paper-cycles", cycle_weight=CYCLE_WEIGHT),
        Recipe(name="mse-cycles", pairs="argmin", scale="mse", cycle_weight=CYCLE_WEIGHT),
    )
}
"""Named recipes. `mse` is the most accurate of them, `mse-cycles` the most accurate for its cycles."""


def is_recipe(name: str) -> bool:
    """Whether a name, or a name with options behind it, is of `RECIPES`: such a recipe needs the weights alone."""
    return name.split(",")[0] in RECIPES


def find_recipe(recipe: str | Recipe, **options: Any) -> Recipe:
    """A recipe by name (or as it is), with options applied.

    Args:
        recipe: a name may bring options of its own, in the form that names of changed recipes have:
            `mse-cycles,cycle_weight=0.05,columns=32`.

    Raises:
        FineqError: the name or an option is unknown, or a value is not allowed.
    """
    if not isinstance(recipe, str | Recipe):
        raise FineqError(
            f"recipe is a {type(recipe).__name__}: give the name of one of {', '.join(RECIPES)}, or a Recipe"
        )
    if not isinstance(recipe, Recipe):
        name, *changes = recipe.split(",")
        if name not in RECIPES:
            raise FineqError(f"unknown recipe {name!r}: choose one of {', '.join(RECIPES)}")
        recipe = RECIPES[name].with_options(**dict(_parsed(change) for change in changes))
    return recipe.with_options(**options)


def _parsed(change: str) -> tuple[str, Any]:
    """`option=value` with the value in the type of the option."""
    option, equals, text = change.partition("=")
    if not equals:
        raise FineqError(f"recipe option {change!r} has no value: write {option}=VALUE")
    kind: type[Any] = type(getattr(RECIPES["paper"], option, ""))
    try:
        return option, kind(text)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise FineqError(f"{option} is {text!r}: it must be {wanted}") from error
