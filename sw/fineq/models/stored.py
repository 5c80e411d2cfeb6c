"""What a model directory says about the form in which its weights are stored."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fineq import format as block_format

QUANT_METHOD = "fineq"
"""What `quantization_config` of config.json calls FineQ."""

INT8_TENSORS = "int8_tensors"
"""Of `quantization_config`, beside `tensors`: those with 8 bits and a scale for each row, by name."""

INT8_BITS, SCALE_BITS = 8, 32

REPORT_FILE = "fineq_report.json"
"""Beside the weights: what quantizing did to each tensor."""


@dataclass(frozen=True)
class StoredTensor:
    """A packed tensor.

    Attributes:
        name: of the tensor.
        shape: (rows, K); a stack of matrices counts as one matrix with the rows of all.
        bits_per_weight: storage with scales and padding.
        normalised_error: of quantizing it; None: the directory does not tell.
        is_int8: its codes have 8 bits.
    """

    name: str
    shape: tuple[int, int]
    bits_per_weight: float
    normalised_error: float | None
    is_int8: bool = False


@dataclass(frozen=True)
class CalibrationRecord:
    """The text that a recipe fitted weights to.

    Attributes:
        text: name of the file.
        sha256: of its documents, joined.
        windows: number of windows of it that were looked at.
        window_length: tokens of a window.
    """

    text: str
    sha256: str
    windows: int
    window_length: int


@dataclass(frozen=True)
class StoredQuantization:
    """How the weights of a model directory are stored.

    Attributes:
        method: `fineq`, or what another quantizer calls itself.
        recipe: of FineQ; None: of another quantizer.
        tensors: the packed ones; empty if another quantizer made them.
        calibration: what the directory says that its recipe was fitted to; None: it names nothing.
    """

    method: str
    recipe: str | None
    tensors: tuple[StoredTensor, ...]
    calibration: CalibrationRecord | None = None


def stored_quantization(directory: Path) -> StoredQuantization | None:
    """How the weights of a model directory are stored; None: they are not quantized, or there is no config.json."""
    settings = _read(Path(directory) / "config.json").get("quantization_config")
    if not isinstance(settings, dict):
        return None
    method = str(settings.get("quant_method", "unknown"))
    tensors = settings.get("tensors")
    if method != QUANT_METHOD or not isinstance(tensors, dict):
        return StoredQuantization(method, None, ())
    report = _read(Path(directory) / REPORT_FILE)
    layers = report.get("layers")
    errors = {line.get("tensor"): line.get("normalised_error") for line in layers or [] if isinstance(line, dict)}
    axis = settings.get("axis", "row")
    found = tuple(_tensor(name, shape, axis, errors.get(name)) for name, shape in tensors.items())
    int8 = settings.get(INT8_TENSORS)
    for name, (rows, inputs) in int8.items() if isinstance(int8, dict) else ():
        found += (StoredTensor(name, (rows, inputs), INT8_BITS + SCALE_BITS / inputs, errors.get(name), True),)
    return StoredQuantization(method, str(settings.get("recipe", "custom")), found, _calibration(report))


def _calibration(report: dict[str, Any]) -> CalibrationRecord | None:
    try:
        return CalibrationRecord(**report["calibration"])
    except (KeyError, TypeError):  # a recipe without calibration, or a report of another release
        return None


def _tensor(name: str, shape: list[int], axis: str, error: float | None) -> StoredTensor:
    *stack, rows, inputs = shape
    channels = (rows, inputs) if axis == "row" else (inputs, rows)
    bits = block_format.bits_per_weight(channels)
    return StoredTensor(name, (math.prod(stack) * rows, inputs), bits, error)


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty if there is none: what is wrong with it is told where the model is loaded."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
