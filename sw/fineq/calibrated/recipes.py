"""The named recipes that need calibration text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from typing import Any

from fineq.calibrated.layerwise import LayerwiseOptions
from fineq.calibrated.options import SolverOptions, TuningOptions
from fineq.calibrated.training import TrainingOptions
from fineq.common.errors import FineqError
from fineq.format import MAX_MAGNITUDE


@dataclass(frozen=True)
class CalibratedRecipe:
    """What is done with the calibration text, each part a switch.

    Attributes:
        name: what reports and packed weights call it.
        solver: how a layer is quantized for its inputs.
        targets: fit the full-precision model's outputs rather than the layer's own on its present inputs.
        block: training of each block against its full-precision outputs.
        whole: training of all blocks together against the full-precision model's predictions; needs memory for
            the gradients of the whole model.
        tuning: the same block by block in memory, for scales, norms and, if wanted, codes.
    """

    name: str = "custom"
    solver: SolverOptions = field(default_factory=SolverOptions)
    targets: bool = True
    block: TrainingOptions = field(default_factory=TrainingOptions)
    whole: TrainingOptions = field(default_factory=TrainingOptions)
    tuning: TuningOptions = field(default_factory=TuningOptions)

    def __post_init__(self) -> None:
        trains_codes = self.block.steps or self.whole.steps or (self.tuning.steps and self.tuning.code_reach)
        if self.solver.largest < MAX_MAGNITUDE and trains_codes:
            raise FineqError("training uses all magnitudes: leave the solver's largest as it is, or train no steps")
        if self.tuning.steps and not self.targets:
            raise FineqError("tuning needs what leaves the full-precision model: leave the targets on")

    def layerwise(self, wanted: Collection[str] | None = None) -> LayerwiseOptions:
        """What is done block by block, with all layers or with those that are wanted."""
        return LayerwiseOptions(self.solver, self.targets, self.block, self.name, wanted)

    def with_options(self, **options: Any) -> CalibratedRecipe:
        """The same recipe with some switches of its tuning changed; its name tells which."""
        if not options:
            return self
        if not self.tuning.steps:
            raise FineqError(f"recipe {self.name} has no options: write its name alone")
        known = [switch.name for switch in fields(TuningOptions)]
        for option in options:
            if option not in known:
                raise FineqError(f"unknown option {option!r} of recipe {self.name}: choose from {', '.join(known)}")
        if options.get("steps") == 0:
            raise FineqError(f"steps is 0: recipe {self.name} needs at least one")
        name = ",".join([self.name, *(f"{option}={options[option]}" for option in known if option in options)])
        return replace(self, tuning=replace(self.tuning, **options), name=name)


RECIPES: dict[str, CalibratedRecipe] = {
    recipe.name: recipe
    for recipe in (
        CalibratedRecipe(name="calibrated"),
        CalibratedRecipe(name="calibrated-2", solver=SolverOptions(largest=2)),
        CalibratedRecipe(name="calibrated-1", solver=SolverOptions(largest=1)),
        CalibratedRecipe(name="reconstructed", block=TrainingOptions(steps=100)),
        CalibratedRecipe(name="distilled", block=TrainingOptions(steps=100), whole=TrainingOptions(steps=240)),
        CalibratedRecipe(name="tuned", tuning=TuningOptions(steps=100)),
        CalibratedRecipe(name="tuned-codes", tuning=TuningOptions(steps=100, windows=128, code_reach=0.15)),
    )
}
"""Named recipes that need calibration text; `calibrated-2` and `calibrated-1` use magnitudes up to that only."""


def is_calibrated_recipe(name: str) -> bool:
    """Whether a name, or a name with options behind it, is of `RECIPES`."""
    return name.split(",")[0] in RECIPES


def find_calibrated_recipe(recipe: str | CalibratedRecipe) -> CalibratedRecipe:
    """A recipe by name, or as it is.

    Args:
        recipe: a name may bring options of the tuning: `tuned,steps=200,scale_rate=0.002`.

    Raises:
        FineqError: the name or an option is unknown, or a value is not allowed.
    """
    if isinstance(recipe, CalibratedRecipe):
        return recipe
    if not isinstance(recipe, str):
        raise FineqError(f"unknown calibrated recipe {recipe!r}: choose one of {', '.join(RECIPES)}")
    name, *changes = recipe.split(",")
    if name not in RECIPES:
        raise FineqError(f"unknown calibrated recipe {name!r}: choose one of {', '.join(RECIPES)}")
    return RECIPES[name].with_options(**dict(_parsed(change) for change in changes))


def _parsed(change: str) -> tuple[str, Any]:
    """`option=value` with the value in the type of the option."""
    option, equals, text = change.partition("=")
    if not equals:
        raise FineqError(f"recipe option {change!r} has no value: write {option}=VALUE")
    kind: type[Any] = type(getattr(TuningOptions(), option, ""))
    try:
        return option, kind(text)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise FineqError(f"{option} is {text!r}: it must be {wanted}") from error
