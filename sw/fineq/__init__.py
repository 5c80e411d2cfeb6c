"""FineQ: fine-grained mixed-precision 2.33-bit quantization of LLM weights.

    packed = fineq.quantize(weight, recipe="paper")
    packed.codes(), packed.scales, packed.dequantize()

Names are loaded on first use, so that tools which need the format's constants alone do not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "FineqError": "fineq.common.errors",
    "PackedWeight": "fineq.quantizer.packed",
    "RECIPES": "fineq.quantizer.recipes",
    "Recipe": "fineq.quantizer.recipes",
    "normalised_error": "fineq.quantizer.packed",
    "quantize": "fineq.quantizer.vectorised",
    "quantize_activations": "fineq.quantizer.activations",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fineq' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])


import_module("fineq.huggingface").register()
