"""Everything that can quantize a model, by one name each: FineQ's recipes, the baselines, or nothing.

Three kinds differ in what they look at: a weight matrix alone (data-free recipes, RTN, Uniform), the weight and the
Hessian of its inputs (GPTQ, PB-LLM, OWQ), or the whole model at once (FineQ's calibrated recipes).
`Method.apply` hides the difference.
"""

from __future__ import annotations

from fineq.baselines import BASELINES, CALIBRATED_BASELINES
from fineq.calibrated import RECIPES as CALIBRATED_RECIPES
from fineq.calibrated import is_calibrated_recipe
from fineq.common.errors import FineqError
from fineq.evaluation.baseline_methods import baseline_method
from fineq.evaluation.calibrated_methods import calibrated_method
from fineq.evaluation.method import Method
from fineq.evaluation.recipe_methods import recipe_method
from fineq.quantizer.recipes import RECIPES, is_recipe


def method_names() -> list[str]:
    """All registered names; `find_method` knows the baselines at other widths too (`find_baseline`)."""
    return ["none", *RECIPES, *CALIBRATED_RECIPES, *BASELINES, *CALIBRATED_BASELINES]


def find_method(name: str) -> Method:
    """A method by name.

    Raises:
        FineqError: unknown name, or no name.
    """
    if not isinstance(name, str):
        raise FineqError(f"recipe is a {type(name).__name__}: give the name of one of {', '.join(method_names())}")
    if name == "none":
        return Method("none", "not quantized", None)
    if is_recipe(name):
        return recipe_method(name)
    if is_calibrated_recipe(name):
        return calibrated_method(name)
    baseline = baseline_method(name)
    if baseline is None:
        raise FineqError(f"unknown recipe {name!r}: choose one of {', '.join(method_names())}")
    return baseline
