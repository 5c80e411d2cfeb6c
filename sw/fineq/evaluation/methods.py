"""Everything that can quantize a model, by one name each: FineQ's recipes, the baselines, or nothing.

Three kinds differ in what they look at: a weight matrix alone (data-free recipes, RTN, Uniform), the weight and the
Hessian of its inputs (GPTQ, PB-LLM, OWQ), or the whole model at once (FineQ's calibrated recipes).
`Method.apply` hides the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor
from transformers import PreTrainedModel

from fineq import calibrated
from fineq.baselines import BASELINES, CALIBRATED_BASELINES, find_baseline
from fineq.baselines.hessian import quantize_model
from fineq.calibrated import RECIPES as CALIBRATED_RECIPES
from fineq.common.errors import FineqError
from fineq.common.progress import Progress
from fineq.format import BLOCK_BYTES, BLOCK_WEIGHTS
from fineq.models.language_model import LayerReport, block_linears, fake_quantize_model, get_weight, layer_report
from fineq.quantizer.recipes import RECIPES, find_recipe, is_recipe
from fineq.quantizer.vectorised import quantize

FORMAT_BITS = BLOCK_BYTES * 8 / BLOCK_WEIGHTS
"""Bits per weight of the codes and their index, scales and padding not counted."""


@dataclass(frozen=True)
class Method:
    """A way to quantize a model, by name."""

    name: str
    title: str
    nominal_bits: float | None
    """Bits of the codes and indices alone, as the paper's 'Avg. Bits'; None: not quantized."""
    quantize: Callable[[Tensor, str], tuple[Tensor, float]] | None = field(default=None, repr=False)
    """Data-free methods: weight, float [out, in], and name -> dequantized weight and true bits per weight."""
    calibrate: Callable[[PreTrainedModel, Tensor, Progress | None], list[LayerReport]] | None = field(
        default=None, repr=False
    )
    """Calibrated methods: model, token ids int64 [tokens] and progress -> reports; the model is changed in place."""

    @property
    def needs_calibration(self) -> bool:
        """Whether `apply` must be given token ids."""
        return self.calibrate is not None

    def apply(
        self, model: PreTrainedModel, token_ids: Tensor | None = None, progress: Progress | None = None
    ) -> list[LayerReport]:
        """Replace the weights of the block linears by what their quantized form stands for, in place.

        Args:
            token_ids: int64 [tokens], calibration text without special tokens; ignored by data-free methods.

        Raises:
            FineqError: calibration text is needed and absent or too short, or a weight is not finite.
        """
        if self.calibrate:
            if token_ids is None:
                raise FineqError(f"method {self.name} needs a text to calibrate with: give one")
            return self.calibrate(model, token_ids, progress)
        return fake_quantize_model(model, self.quantize) if self.quantize else []


def method_names() -> list[str]:
    """All registered names; `find_method` knows the baselines at other widths too (`find_baseline`)."""
    return ["none", *RECIPES, *CALIBRATED_RECIPES, *BASELINES, *CALIBRATED_BASELINES]


def find_method(name: str) -> Method:
    """A method by name."""
    if name == "none":
        return Method("none", "not quantized", None)
    if is_recipe(name):
        find_recipe(name)
        return Method(name, f"FineQ, recipe {name}", FORMAT_BITS, quantize=_data_free_recipe(name))
    if name in CALIBRATED_RECIPES:
        return Method(name, f"FineQ, recipe {name}", FORMAT_BITS, calibrate=_calibrated_recipe(name))
    baseline = find_baseline(name)
    if baseline is None:
        raise FineqError(f"unknown recipe {name!r}: choose one of {', '.join(method_names())}")
    if callable(baseline):
        return Method(name, baseline.title, float(baseline.bits), quantize=baseline)
    return Method(
        name,
        baseline.title,
        baseline.nominal_bits,
        calibrate=lambda model, token_ids, progress: quantize_model(model, token_ids, baseline, progress),
    )


def _data_free_recipe(name: str) -> Callable[[Tensor, str], tuple[Tensor, float]]:
    def apply(weight: Tensor, layer: str = "weight") -> tuple[Tensor, float]:
        packed = quantize(weight, name, name=layer)
        return packed.dequantize(), packed.bits_per_weight()

    return apply


def _calibrated_recipe(name: str) -> Callable[[PreTrainedModel, Tensor, Progress | None], list[LayerReport]]:
    def apply(model: PreTrainedModel, token_ids: Tensor, progress: Progress | None = None) -> list[LayerReport]:
        before = {layer: get_weight(model, layer).float().clone() for layer in block_linears(model)}
        packed, _ = calibrated.quantize_model(model, token_ids, name, progress)
        return [
            layer_report(layer, before[layer], result.dequantize(), result.bits_per_weight())
            for layer, result in packed.items()
        ]

    return apply
