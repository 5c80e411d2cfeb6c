"""FineQ's calibrated recipes as methods."""

from __future__ import annotations

from torch import Tensor
from transformers import PreTrainedModel

from fineq.calibrated.model import quantize_model
from fineq.calibrated.recipes import find_calibrated_recipe
from fineq.common.progress import Progress
from fineq.evaluation.method import FORMAT_BITS, Method
from fineq.models.language_model import LayerReport, block_linears, get_weight, layer_report


def calibrated_method(name: str) -> Method:
    """A calibrated recipe as a method.

    Raises:
        FineqError: unknown name.
    """
    recipe = find_calibrated_recipe(name)

    def apply(
        model: PreTrainedModel, token_ids: Tensor, progress: Progress | None = None, windows: int | None = None
    ) -> list[LayerReport]:
        before = {layer: get_weight(model, layer).float().clone() for layer in block_linears(model)}
        packed, _ = quantize_model(model, token_ids, recipe, progress, windows=windows)
        return [
            layer_report(layer, before[layer], result.dequantize(), result.bits_per_weight())
            for layer, result in packed.items()
        ]

    return Method(name, f"FineQ, recipe {name}", FORMAT_BITS, calibrate=apply)
