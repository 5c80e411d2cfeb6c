"""The evaluation of a method on a model, and a record of all that decides its value (docs/quantizer/evaluation.md)."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fineq.common import files
from fineq.common.errors import FineqError
from fineq.common.places import why_not_new
from fineq.common.progress import Progress
from fineq.evaluation.method import Method
from fineq.evaluation.perplexity import Perplexity, Text, perplexity, tokenize
from fineq.evaluation.stored_methods import method_for
from fineq.huggingface.loading import load_model, load_tokenizer
from fineq.models.directory import model_fingerprint
from fineq.models.language_model import LayerReport

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Evaluation:
    """Everything about one measurement; what `fineq eval -o` writes."""

    model: str
    model_fingerprint: str
    method: str
    nominal_bits: float | None
    bits_per_weight: float | None
    """Mean over the quantized weights, scales and padding included; None: not quantized."""
    normalised_error: float | None
    """Mean over the layers, weighted by their size; None: not quantized, or not known."""
    quantized_layers: int
    calibration: str | None
    """Name of the calibration text, if the method used one, or if a stored model says that its recipe did."""
    calibration_sha256: str | None
    calibration_windows: int | None
    """Windows of it that were looked at, at most; of a stored model: that its recipe looked at. None: not known, or as
    many as the method does."""
    calibration_window_length: int | None
    """Tokens of such a window, as a stored model says; None: not known."""
    text: str
    text_sha256: str
    documents: int
    join: str
    result: Perplexity
    device: str
    """What the model ran on: `cpu`, or the name of the accelerator."""
    versions: dict[str, str]
    activation: str = "float"
    """What packed layers did with their inputs (`fineq.operators.ACTIVATIONS`)."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, floats rounded so that the order of sums on other thread counts does not show."""
        content = asdict(self)
        content["result"]["nll"] = round(self.result.nll, 5)
        content["result"]["perplexity"] = float(f"{self.result.perplexity:.5g}")
        for key in ("bits_per_weight", "normalised_error"):
            content[key] = None if content[key] is None else round(content[key], 5)
        return content


@dataclass(frozen=True)
class Subject:
    """A model made ready for measurements by one method."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    fingerprint: str
    """Of the model before quantization."""
    method: Method
    calibration: Text | None
    layers: list[LayerReport]
    calibration_windows: int | None = None
    activation: str = "float"


def prepare(
    model_path: Path,
    method: Method,
    calibration: Text | None = None,
    dtype: str = "float32",
    progress: Progress | None = None,
    device: str = "cpu",
    calibration_windows: int | None = None,
    activation: str = "float",
) -> Subject:
    """Load a model and quantize its block linears by `method`.

    Args:
        calibration: for methods that need one; others ignore it.
        dtype: in which the model computes, one of `DTYPES`.
        progress: called with what is being done, how much of it is done, and how much it is in all.
        device: where the model is measured, `cpu`, `cuda` or `cuda:1`; quantizing takes place on the CPU.
        calibration_windows: of the calibration text to look at, spread evenly over it; None: up to 128.
        activation: what the packed layers of a stored model do with their inputs (`fineq.operators.ACTIVATIONS`).
    """
    place = find_device(device)
    if dtype not in DTYPES:
        raise FineqError(f"dtype is {dtype!r}: choose one of {', '.join(DTYPES)}")
    method = method_for(model_path, method)
    model = load_model(model_path, DTYPES[dtype], activation)
    tokenizer = load_tokenizer(model_path)
    calibration = calibration if method.needs_calibration else None
    token_ids = tokenize(tokenizer, calibration.content) if calibration else None
    calibration_windows = calibration_windows if calibration else None
    layers = method.apply(model, token_ids, progress, calibration_windows)
    model.to(place)  # type: ignore[arg-type]  # transformers wraps the method in a way that loses its types
    name = Path(model_path).resolve().name
    fingerprint = model_fingerprint(model_path)
    return Subject(model, tokenizer, name, fingerprint, method, calibration, layers, calibration_windows, activation)


def measure(
    subject: Subject,
    text: Text,
    sequence_length: int | None = None,
    bos: str | None = None,
    stride: int | None = None,
    max_windows: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Perplexity of a prepared model on `text`.

    Args:
        sequence_length: None: 2048, or the model's longest context if that is shorter.
        bos: see `perplexity`; None: `window` if the tokenizer has a beginning-of-sequence token, else `none`.
    """
    if bos is None:
        bos = "none" if subject.tokenizer.bos_token_id is None else "window"
    longest = getattr(subject.model.config, "max_position_embeddings", None)
    result = perplexity(
        subject.model,
        tokenize(subject.tokenizer, text.content),
        sequence_length or min(2048, longest or 2048),
        bos=bos,
        bos_token_id=subject.tokenizer.bos_token_id,
        stride=stride,
        max_windows=max_windows,
        progress=progress,
    )
    fitted, told = subject.calibration, subject.method.stored_calibration
    return Evaluation(
        model=subject.name,
        model_fingerprint=subject.fingerprint,
        method=subject.method.name,
        nominal_bits=subject.method.nominal_bits,
        bits_per_weight=_weighted(subject.layers, "bits_per_weight"),
        normalised_error=_weighted(subject.layers, "normalised_error"),
        quantized_layers=len(subject.layers),
        calibration=fitted.name if fitted else told.text if told else None,
        calibration_sha256=fitted.sha256 if fitted else told.sha256 if told else None,
        calibration_windows=told.windows if told else subject.calibration_windows,
        calibration_window_length=told.window_length if told else None,
        text=text.name,
        text_sha256=text.sha256,
        documents=text.documents,
        join=text.join,
        result=result,
        device=device_name(subject.model.device),
        versions={package: metadata.version(package) for package in ("fineq", "torch", "transformers")},
        activation=subject.activation,
    )


def evaluate(
    model_path: Path,
    text: Text,
    method: Method,
    sequence_length: int | None = None,
    bos: str | None = None,
    stride: int | None = None,
    max_windows: int | None = None,
    dtype: str = "float32",
    progress: Callable[[int, int], None] | None = None,
    calibration: Text | None = None,
    device: str = "cpu",
    calibration_windows: int | None = None,
    activation: str = "float",
) -> Evaluation:
    """`prepare` and `measure` in one."""
    subject = prepare(model_path, method, calibration, dtype, None, device, calibration_windows, activation)
    return measure(subject, text, sequence_length, bos, stride, max_windows, progress)


def _weighted(layers: list[LayerReport], figure: str) -> float | None:
    if any(getattr(layer, figure) is None for layer in layers):
        return None
    sizes = [layer.shape[0] * layer.shape[1] for layer in layers]
    total = sum(size * getattr(layer, figure) for size, layer in zip(sizes, layers, strict=True))
    return total / sum(sizes) if layers else None


def find_device(name: str) -> torch.device:
    """A device by its name.

    Raises:
        FineqError: there is no such device here.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise FineqError(f"{name!r} is no device: choose cpu, cuda, or one of several such as cuda:1") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise FineqError("there is no CUDA device that torch can use: leave --device out, or install torch for CUDA")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise FineqError(f"there is no {name}: torch finds {torch.cuda.device_count()} CUDA devices, numbered from 0")
    if device.type not in ("cpu", "cuda"):
        raise FineqError(f"FineQ does not run on {name!r}: choose cpu or cuda")
    return device


def device_name(device: torch.device) -> str:
    """What a record calls a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def check_result_place(path: Path) -> None:
    """Raise if results cannot be written there, before the long work.

    Raises:
        FineqError: the folder does not exist or may not be written to, or the path is a directory or a dangling link.
    """
    path = Path(path)
    problem = None
    if not path.exists() and (obstacle := why_not_new(path)):
        raise FineqError(f"{path} {obstacle}: choose another output, or remove it")
    if not path.parent.is_dir():
        problem = errno.ENOTDIR if path.parent.exists() else errno.ENOENT
    elif path.is_dir():
        raise FineqError(f"{path} is a directory: give the name of a file for the results")
    elif not os.access(path.parent, os.W_OK):
        problem = errno.EACCES
    if problem:
        raise FineqError(f"cannot write {path}: {os.strerror(problem)}")


def write_evaluations(evaluations: list[Evaluation], path: Path) -> None:
    """Write results as JSON; the file appears whole or not at all.

    Raises:
        FineqError: the place cannot be written, or its folder does not exist.
    """
    path = Path(path)
    check_result_place(path)
    content = json.dumps({"results": [e.to_json() for e in evaluations]}, indent=2, allow_nan=False)
    try:
        files.write_text(path, content + "\n")
    except OSError as error:
        raise FineqError(f"cannot write {path}: {error.strerror}") from error
