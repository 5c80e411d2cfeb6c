"""The baselines as methods."""

from __future__ import annotations

from torch import Tensor
from transformers import PreTrainedModel

from fineq.baselines import find_baseline
from fineq.baselines.hessian import quantize_model
from fineq.common.progress import Progress
from fineq.evaluation.method import Method
from fineq.models.language_model import LayerReport


def baseline_method(name: str) -> Method | None:
    """A baseline, at its own or another width (`find_baseline`), as a method; None: no such name."""
    baseline = find_baseline(name)
    if baseline is None:
        return None
    if callable(baseline):
        return Method(name, baseline.title, float(baseline.bits), quantize=baseline)

    def apply(
        model: PreTrainedModel, token_ids: Tensor, progress: Progress | None = None, windows: int | None = None
    ) -> list[LayerReport]:
        return quantize_model(model, token_ids, baseline, progress, windows)

    return Method(name, baseline.title, baseline.nominal_bits, calibrate=apply)
