"""Quantize a whole model with calibration text: the named recipes and their one entry point."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor
from transformers import PreTrainedModel

from fineq.calibrated.capture import BlockRunner, choose_windows, cut_windows, evaluating
from fineq.calibrated.layerwise import LayerwiseOptions, quantize_layers
from fineq.calibrated.options import SolverOptions
from fineq.calibrated.training import TrainingOptions, distill, small_parameters
from fineq.common.errors import FineqError
from fineq.common.progress import Progress
from fineq.format import MAX_MAGNITUDE
from fineq.models.blocks import decoder_blocks
from fineq.quantizer.packed import PackedWeight


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
    """

    name: str = "custom"
    solver: SolverOptions = field(default_factory=SolverOptions)
    targets: bool = True
    block: TrainingOptions = field(default_factory=TrainingOptions)
    whole: TrainingOptions = field(default_factory=TrainingOptions)

    def __post_init__(self) -> None:
        if self.solver.largest < MAX_MAGNITUDE and (self.block.steps or self.whole.steps):
            raise FineqError("training uses all magnitudes: leave the solver's largest as it is, or train no steps")

    def layerwise(self, wanted: Collection[str] | None = None) -> LayerwiseOptions:
        """What is done block by block, with all layers or with those that are wanted."""
        return LayerwiseOptions(self.solver, self.targets, self.block, self.name, wanted)


RECIPES: dict[str, CalibratedRecipe] = {
    recipe.name: recipe
    for recipe in (
        CalibratedRecipe(name="calibrated"),
        CalibratedRecipe(name="calibrated-2", solver=SolverOptions(largest=2)),
        CalibratedRecipe(name="calibrated-1", solver=SolverOptions(largest=1)),
        CalibratedRecipe(name="reconstructed", block=TrainingOptions(steps=100)),
        CalibratedRecipe(name="distilled", block=TrainingOptions(steps=100), whole=TrainingOptions(steps=240)),
    )
}
"""Named recipes that need calibration text; `calibrated-2` and `calibrated-1` use magnitudes up to that only."""


def find_calibrated_recipe(recipe: str | CalibratedRecipe) -> CalibratedRecipe:
    """A recipe by name, or as it is."""
    if isinstance(recipe, CalibratedRecipe):
        return recipe
    if not isinstance(recipe, str) or recipe not in RECIPES:
        raise FineqError(f"unknown calibrated recipe {recipe!r}: choose one of {', '.join(RECIPES)}")
    return RECIPES[recipe]


def quantize_model(
    model: PreTrainedModel,
    token_ids: Tensor,
    recipe: str | CalibratedRecipe = "calibrated",
    progress: Progress | None = None,
    wanted: Collection[str] | None = None,
    windows: int | None = None,
) -> tuple[dict[str, PackedWeight], dict[str, Tensor]]:
    """Quantize all linear layers of the blocks, in place, with the help of calibration text.

    Args:
        model: in a floating-point dtype; afterwards it holds what the packed weights stand for.
        token_ids: int64 [tokens], the calibration text without special tokens; or windows, [windows, length].
        recipe: a name of `RECIPES`, or a recipe.
        progress: called with what is being done, how much of it is done, and how much it is in all.
        wanted: layers to quantize; None: all of `block_linears`.
        windows: that the layer-by-layer part looks at; None: see `choose_windows`.

    Returns:
        Packed weights by layer name (see `block_linears`), and every other parameter that changed,
        by its name in the model.

    Raises:
        FineqError: unknown recipe, too little text, a layer with NaN or infinity.
    """
    recipe = find_calibrated_recipe(recipe)
    text = cut_windows(model, token_ids)
    with evaluating(model):
        teacher = copy.deepcopy(model) if recipe.whole.steps else None
        runner, hidden = BlockRunner.start(model, choose_windows(text, windows))
        packed, changed = quantize_layers(runner, hidden, recipe.layerwise(wanted), progress)
        if teacher is not None:
            others = small_parameters(model, decoder_blocks(model)[0] + ".")
            report = partial(progress, "distillation") if progress else None
            packed, trained = distill(model, teacher, packed, text, recipe.whole, others, report)
            changed |= trained
    return packed, changed
