"""Recipe `auto`: the data-free recipe if the model survives it; else a calibration text is asked for.

Whether it survives is measured, before anything is written: the model is quantized in memory and foretells a short
text, as it does in the check at the end (`fineq.evaluation.loss_check`), with the same limit. Size or architecture
decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from fineq.checkpoint.choice import RecipeChoice
from fineq.checkpoint.loss_check import LARGEST_LOSS
from fineq.checkpoint.planning import CheckpointPlan, Options
from fineq.checkpoint.source import Source
from fineq.common.errors import FineqError
from fineq.evaluation.loss_check import try_recipe
from fineq.evaluation.perplexity import Text
from fineq.quantizer.defaults import CALIBRATED_RECIPE, DEFAULT_RECIPE


def choose_recipe(
    source: Source,
    plan: CheckpointPlan,
    options: Options,
    text: Text | None,
    has_calibration: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
) -> RecipeChoice:
    """Choose between the data-free and the calibrated recipe.

    Args:
        plan: what of the model is to be quantized.
        text: that the model foretells; None: nothing is to be measured.
        has_calibration: the user gave a calibration text.
        tell: called with what is about to happen.

    Raises:
        FineqError: the data-free recipe would destroy the model, and there is no calibration text.
    """
    if has_calibration:
        return RecipeChoice(CALIBRATED_RECIPE, "there is a calibration text")
    if text is None:
        return RecipeChoice(DEFAULT_RECIPE, "nothing was to be measured")
    if (options.embeddings or options.lm_head) and not options.has_int8:
        return RecipeChoice(DEFAULT_RECIPE, "recipes with calibration do not quantize embeddings and output head")
    tell(f"no recipe named: measuring what {DEFAULT_RECIPE}, which needs no data, costs on {text.name}, in memory")
    tried = try_recipe(source, plan, DEFAULT_RECIPE, text)
    if tried.lost is None:
        return RecipeChoice(DEFAULT_RECIPE, f"the model could not be measured: {tried.problem}", tried)
    if tried.is_destroyed:
        raise FineqError(
            f"{DEFAULT_RECIPE}, which needs no data, would destroy this model: {tried.sentence()}; above "
            f"{LARGEST_LOSS:g} nats models talk nonsense. Add --calibration FILE, about a megabyte of text of the kind "
            f"that the model is for, or --recipe {DEFAULT_RECIPE} to have it all the same"
        )
    return RecipeChoice(DEFAULT_RECIPE, f"it needs no data and costs less than {LARGEST_LOSS:g} nat per token", tried)
