"""The method of a model that is stored quantized: measured as it is, and nothing is applied to it again."""

from __future__ import annotations

import math
from pathlib import Path

from fineq.common.errors import FineqError
from fineq.evaluation.method import FORMAT_BITS, Method
from fineq.models.language_model import LayerReport
from fineq.models.stored import INT8_BITS, QUANT_METHOD, StoredQuantization, stored_quantization


def method_for(model_path: Path, method: Method) -> Method:
    """The method that a measurement of a model is about: the one given, or the one that the model is stored in.

    Raises:
        FineqError: a method is to be applied to weights that are quantized already.
    """
    stored = stored_quantization(model_path)
    if stored is None or method.stored is not None:
        return method
    held = f"recipe {stored.recipe}" if stored.recipe else stored.method
    if method.name != "none":
        raise FineqError(
            f"{model_path} is quantized already ({held}), so {method.name} would work on what that left: give "
            f"the full-precision model, or leave --recipe out to measure {held}"
        )
    return _stored_method(stored)


def _nominal_bits(stored: StoredQuantization) -> float:
    """Bits of the codes and indices alone: those of the format, or the mean where some weights have 8 bits."""
    if not any(tensor.is_int8 for tensor in stored.tensors):
        return FORMAT_BITS
    weights = [math.prod(tensor.shape) for tensor in stored.tensors]
    bits = [INT8_BITS if tensor.is_int8 else FORMAT_BITS for tensor in stored.tensors]
    return sum(count * each for count, each in zip(weights, bits, strict=True)) / sum(weights)


def _stored_method(stored: StoredQuantization) -> Method:
    layers = tuple(
        LayerReport(tensor.name, tensor.shape, tensor.bits_per_weight, tensor.normalised_error)
        for tensor in stored.tensors
    )
    if stored.method != QUANT_METHOD:
        return Method(stored.method, f"{stored.method}, as stored", None, stored=layers)
    assert stored.recipe is not None  # FineQ's own settings always name one
    title = f"FineQ, recipe {stored.recipe}, as stored"
    return Method(stored.recipe, title, _nominal_bits(stored), stored=layers, stored_calibration=stored.calibration)
