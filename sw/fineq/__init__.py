"""FineQ: fine-grained mixed-precision 2.33-bit quantization of LLM weights.

    packed = fineq.quantize(weight, recipe="paper")
    packed.codes(), packed.scales, packed.dequantize()

Names are loaded on first use, so that tools which need the format's constants alone do not wait for torch.
`import fineq.huggingface` makes transformers load quantized models; no other import touches transformers.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str

    from fineq.common.errors import FineqError
    from fineq.pipeline import quantize_model
    from fineq.quantizer.activations import quantize_activations
    from fineq.quantizer.packed import PackedWeight, normalised_error
    from fineq.quantizer.recipes import RECIPES, Recipe
    from fineq.quantizer.vectorised import quantize

__all__ = [
    "FineqError",
    "PackedWeight",
    "RECIPES",
    "Recipe",
    "normalised_error",
    "quantize",
    "quantize_activations",
    "quantize_model",
]

_HOME = {
    "FineqError": "fineq.common.errors",
    "PackedWeight": "fineq.quantizer.packed",
    "RECIPES": "fineq.quantizer.recipes",
    "Recipe": "fineq.quantizer.recipes",
    "normalised_error": "fineq.quantizer.packed",
    "quantize": "fineq.quantizer.vectorised",
    "quantize_activations": "fineq.quantizer.activations",
    "quantize_model": "fineq.pipeline",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("fineq")
    if name not in _HOME:
        raise AttributeError(f"module 'fineq' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME, "__version__"])
