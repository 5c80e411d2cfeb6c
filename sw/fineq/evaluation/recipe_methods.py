"""FineQ's data-free recipes as methods."""

from __future__ import annotations

from torch import Tensor

from fineq.evaluation.method import FORMAT_BITS, Method
from fineq.quantizer.recipes import Recipe, find_recipe
from fineq.quantizer.vectorised import quantize


def recipe_method(recipe: str | Recipe) -> Method:
    """A recipe as a method.

    Raises:
        FineqError: unknown name, or a bad option behind it.
    """
    found = find_recipe(recipe)

    def apply(weight: Tensor, layer: str = "weight") -> tuple[Tensor, float]:
        packed = quantize(weight, found, name=layer)
        return packed.dequantize(), packed.bits_per_weight()

    return Method(found.name, f"FineQ, recipe {found.name}", FORMAT_BITS, quantize=apply)
