"""Quantize a whole model in memory with calibration text."""

from __future__ import annotations

import copy
from collections.abc import Collection
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from fineq.calibrated.capture import BlockRunner, choose_windows, cut_windows, evaluating
from fineq.calibrated.layerwise import quantize_layers
from fineq.calibrated.recipes import CalibratedRecipe, find_calibrated_recipe
from fineq.calibrated.training import distill, small_parameters
from fineq.calibrated.tuning import MemoryState, TuningInputs, check_tunable, tune
from fineq.common.progress import Progress
from fineq.models.blocks import decoder_blocks
from fineq.models.language_model import block_linears, get_weight, set_weight
from fineq.quantizer.packed import PackedWeight


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
        FineqError: unknown recipe, too little text, a layer with NaN or infinity; tuning of a model that is not in
            float32, or with stacks of experts.
    """
    recipe = find_calibrated_recipe(recipe)
    if recipe.tuning.steps:
        check_tunable(model, wanted)
    text = cut_windows(model, token_ids)
    with evaluating(model):
        teacher = copy.deepcopy(model) if recipe.whole.steps else None
        runner, hidden = BlockRunner.start(model, choose_windows(text, windows))
        originals = _copies(model, wanted) if recipe.tuning.code_reach else {}
        trained_on = _training_windows(model, text, recipe)
        packed, changed, stream = quantize_layers(runner, hidden, recipe.layerwise(wanted), progress)
        if teacher is not None:
            others = small_parameters(model, decoder_blocks(model)[0] + ".")
            report = partial(progress, "distillation") if progress else None
            packed, trained = distill(model, teacher, packed, text, recipe.whole, others, report)
            changed |= trained
        if recipe.tuning.steps:
            ends = (hidden, stream.exact) if trained_on is None else trained_on
            inputs = TuningInputs(packed, *ends, lambda name: model.get_parameter(name).detach(), originals.__getitem__)
            packed, trained = tune(runner, inputs, recipe.tuning, recipe.name, MemoryState(), progress)
            changed |= trained
            _install(model, packed, trained)
    return packed, changed


def _training_windows(model: PreTrainedModel, text: Tensor, recipe: CalibratedRecipe) -> tuple[Tensor, Tensor] | None:
    """What enters and what leaves the full-precision blocks; None: tuning sees the windows of the calibration."""
    if not recipe.tuning.steps or not recipe.tuning.windows:
        return None
    runner, hidden = BlockRunner.start(model, choose_windows(text, recipe.tuning.windows))
    exact = hidden
    for number in range(len(runner.blocks)):
        exact = runner.run_all(number, exact)
    return hidden, exact


def _copies(model: PreTrainedModel, wanted: Collection[str] | None) -> dict[str, Tensor]:
    """The weights of the layers before they are quantized."""
    return {name: get_weight(model, name).clone() for name in block_linears(model) if wanted is None or name in wanted}


def _install(model: PreTrainedModel, packed: dict[str, PackedWeight], others: dict[str, Tensor]) -> None:
    for name, layer in packed.items():
        set_weight(model, name, layer.dequantize())
    with torch.no_grad():
        for name, value in others.items():
            model.get_parameter(name).copy_(value)
