"""Better than the paper within the same format: quantization with calibration text (docs/quantizer/recipes.md).

packed, changed = fineq.calibrated.quantize_model(model, token_ids, "calibrated")
"""

from __future__ import annotations

from fineq.calibrated.model import quantize_model
from fineq.calibrated.options import SolverOptions, TuningOptions
from fineq.calibrated.recipes import RECIPES, CalibratedRecipe, find_calibrated_recipe, is_calibrated_recipe
from fineq.calibrated.solver import output_error, solve
from fineq.calibrated.training import TrainingOptions

__all__ = [
    "RECIPES",
    "CalibratedRecipe",
    "SolverOptions",
    "TrainingOptions",
    "TuningOptions",
    "find_calibrated_recipe",
    "is_calibrated_recipe",
    "output_error",
    "quantize_model",
    "solve",
]
