"""Perplexity with the usual protocol, and a record of everything that decides its value (docs/evaluation.md).

The text is joined, tokenized once and cut into windows of equal length; a shorter rest is dropped. The model
sees each window on its own. Perplexity is exp of the mean next-token loss over all scored tokens.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fineq.common.errors import FineqError
from fineq.common.progress import Progress
from fineq.evaluation.methods import Method, find_method, method_names
from fineq.models.language_model import LayerReport, load_model, load_tokenizer, model_fingerprint

__all__ = [
    "Evaluation",
    "Method",
    "Perplexity",
    "Subject",
    "Text",
    "evaluate",
    "find_method",
    "measure",
    "method_names",
    "perplexity",
    "prepare",
    "read_text",
    "shipped_calibration_path",
    "shipped_text_path",
    "tokenize",
    "write_evaluations",
]

BOS_CHOICES = ("window", "text", "none")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BATCH_TOKENS = 4096
"""Tokens that the model sees at once: bounds the memory for logits."""


# -- text ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    """Evaluation text after joining."""

    name: str
    content: str
    documents: int
    join: str
    """How the documents became one text, in words or as the string between them."""

    @property
    def sha256(self) -> str:
        """Of the joined text in UTF-8."""
        return hashlib.sha256(self.content.encode()).hexdigest()


def shipped_text_path() -> Path:
    """The evaluation text that the package carries."""
    return Path(__file__).parents[1] / "data" / "evaluation_text.txt"


def shipped_calibration_path() -> Path:
    """The calibration text that the package carries."""
    return Path(__file__).parents[1] / "data" / "calibration_text.txt"


def read_text(path: Path) -> Text:
    """Read evaluation text by the kind of file.

    * `.txt`: as it is.
    * `.raw` (WikiText): the lines as the `datasets` package yields them, joined by two line breaks, the way
      published WikiText-2 figures are made: a line keeps its line break, a blank line becomes empty.
    * `.jsonl` (C4): the `text` field of every line, joined by a space.

    Raises:
        FineqError: unreadable, another kind of file, or without text.
    """
    path = Path(path)
    if path.suffix not in (".txt", ".raw", ".jsonl"):
        raise FineqError(f"{path} is not a text that FineQ reads: give a .txt, .raw or .jsonl file")
    try:
        content = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise FineqError(f"cannot read the text {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FineqError(f"cannot read the text {path}: it is not UTF-8 at byte {error.start}") from error
    documents, join = [content], "as it is"
    if path.suffix == ".raw":
        documents = [line if line.strip() else "" for line in content.splitlines(keepends=True)]
        join = "\n\n"
    elif path.suffix == ".jsonl":
        documents, join = _read_json_lines(path, content), " "
    joined = join.join(documents)
    if not joined.strip():
        raise FineqError(f"the text {path} is empty: give a file with text")
    return Text(path.name, joined, len(documents), join)


def _read_json_lines(path: Path, content: str) -> list[str]:
    documents = []
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            documents.append(json.loads(line)["text"])
        except (ValueError, KeyError, TypeError) as error:
            raise FineqError(f"line {number} of {path} is not a JSON object with a 'text' field") from error
        if not isinstance(documents[-1], str):
            raise FineqError(f"line {number} of {path} has a 'text' field that is not a string")
    return documents


def tokenize(tokenizer: PreTrainedTokenizerBase, text: str) -> Tensor:
    """Token ids of the whole text, int64 [tokens], without special tokens."""
    return torch.tensor(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], dtype=torch.int64)


# -- perplexity ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Perplexity:
    """A measured perplexity and the protocol that gave it."""

    nll: float
    """Mean negative log likelihood of the scored tokens, nats."""
    perplexity: float
    sequence_length: int
    """Tokens that the model sees in a window, BOS included."""
    stride: int
    """Text tokens from the start of one window to the start of the next."""
    bos: str
    windows: int
    text_tokens: int
    scored_tokens: int
    dtype: str


def perplexity(
    model: PreTrainedModel,
    token_ids: Tensor,
    sequence_length: int,
    bos: str = "none",
    bos_token_id: int | None = None,
    stride: int | None = None,
    max_windows: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Perplexity:
    """Perplexity of a causal language model.

    Args:
        token_ids: int64 [tokens], the text without special tokens.
        sequence_length: tokens that the model sees at once, at least 2.
        bos: `window`: every window starts with `bos_token_id`, followed by sequence_length - 1 text tokens,
            all of them scored. `text`: only the text starts with it. `none`: never. Without a BOS the first
            token of a window has no context and is not scored.
        stride: text tokens between window starts. None: windows do not overlap. Smaller: windows overlap,
            and a token is scored once, with the context of the first window that holds it.
        max_windows: stop after that many.
        progress: called with (windows done, all windows).

    Raises:
        FineqError: impossible options, a text shorter than a window, a model that returns NaN.
    """
    if bos not in BOS_CHOICES:
        raise FineqError(f"bos is {bos!r}: choose one of {', '.join(BOS_CHOICES)}")
    if bos != "none" and bos_token_id is None:
        raise FineqError("the tokenizer has no beginning-of-sequence token: choose bos 'none'")
    longest = getattr(model.config, "max_position_embeddings", None)
    if sequence_length < 2 or (longest and sequence_length > longest):
        raise FineqError(f"sequence length {sequence_length} is impossible: the model takes 2 to {longest} tokens")
    text_tokens = len(token_ids)
    if bos == "text":
        token_ids = torch.cat([torch.tensor([bos_token_id]), token_ids])
    lead = 1 if bos == "window" else 0
    width = sequence_length - lead
    stride = width if stride is None else stride
    if not 1 <= stride <= width:
        raise FineqError(f"stride {stride} is impossible: it must lie between 1 and {width}, or text would be left out")
    starts = list(range(0, len(token_ids) - width + 1, stride))[:max_windows]
    if not starts:
        raise FineqError(
            f"the text has {len(token_ids)} tokens, fewer than one window of {width}: "
            "give a longer text or a shorter sequence length"
        )
    total, scored = 0.0, 0
    batch = max(1, BATCH_TOKENS // sequence_length)
    for first in range(0, len(starts), batch):
        part = starts[first : first + batch]
        windows = torch.stack([token_ids[start : start + width] for start in part])
        if lead:
            windows = functional.pad(windows, (1, 0), value=bos_token_id)
        losses = _token_losses(model, windows)
        for start, loss in zip(part, losses, strict=True):
            fresh = loss if start == 0 else loss[-min(stride, len(loss)) :]
            total += fresh.sum().item()
            scored += len(fresh)
        if progress:
            progress(first + len(part), len(starts))
    nll = total / scored
    if not math.isfinite(nll):
        raise FineqError("the model's loss is not a finite number: its weights or its dtype are unfit")
    dtype = str(model.dtype).removeprefix("torch.")
    value = math.exp(nll) if nll < 700 else math.inf
    return Perplexity(nll, value, sequence_length, stride, bos, len(starts), text_tokens, scored, dtype)


def _token_losses(model: PreTrainedModel, windows: Tensor) -> Tensor:
    """Loss of every token but the first of each window, float64 [windows, length - 1], nats."""
    with torch.no_grad():
        logits = model(input_ids=windows.to(model.device), use_cache=False).logits[:, :-1]
        losses = functional.cross_entropy(
            logits.float().transpose(1, 2), windows[:, 1:].to(logits.device), reduction="none"
        )
    return losses.double().cpu()


# -- the whole evaluation --------------------------------------------------------------------------------------


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
    """Mean over the layers, weighted by their size."""
    quantized_layers: int
    calibration: str | None
    """Name of the calibration text, if the method used one."""
    calibration_sha256: str | None
    text: str
    text_sha256: str
    documents: int
    join: str
    result: Perplexity
    versions: dict[str, str]

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


def prepare(
    model_path: Path,
    method: Method,
    calibration: Text | None = None,
    dtype: str = "float32",
    progress: Progress | None = None,
) -> Subject:
    """Load a model and quantize its block linears by `method`.

    Args:
        calibration: for methods that need one; others ignore it.
        dtype: in which the model computes, one of `DTYPES`.
        progress: called with what is being done, how much of it is done, and how much it is in all.
    """
    if dtype not in DTYPES:
        raise FineqError(f"dtype is {dtype!r}: choose one of {', '.join(DTYPES)}")
    model = load_model(model_path, DTYPES[dtype])
    tokenizer = load_tokenizer(model_path)
    calibration = calibration if method.needs_calibration else None
    token_ids = tokenize(tokenizer, calibration.content) if calibration else None
    layers = method.apply(model, token_ids, progress)
    name = Path(model_path).resolve().name
    return Subject(model, tokenizer, name, model_fingerprint(model_path), method, calibration, layers)


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
    return Evaluation(
        model=subject.name,
        model_fingerprint=subject.fingerprint,
        method=subject.method.name,
        nominal_bits=subject.method.nominal_bits,
        bits_per_weight=_weighted(subject.layers, "bits_per_weight"),
        normalised_error=_weighted(subject.layers, "normalised_error"),
        quantized_layers=len(subject.layers),
        calibration=subject.calibration.name if subject.calibration else None,
        calibration_sha256=subject.calibration.sha256 if subject.calibration else None,
        text=text.name,
        text_sha256=text.sha256,
        documents=text.documents,
        join=text.join,
        result=result,
        versions={package: metadata.version(package) for package in ("fineq", "torch", "transformers")},
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
) -> Evaluation:
    """`prepare` and `measure` in one."""
    subject = prepare(model_path, method, calibration, dtype)
    return measure(subject, text, sequence_length, bos, stride, max_windows, progress)


def _weighted(layers: list[LayerReport], figure: str) -> float | None:
    sizes = [layer.shape[0] * layer.shape[1] for layer in layers]
    total = sum(size * getattr(layer, figure) for size, layer in zip(sizes, layers, strict=True))
    return total / sum(sizes) if layers else None


def write_evaluations(evaluations: list[Evaluation], path: Path) -> None:
    """Write results as JSON; the file appears whole or not at all."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.new")
    content = json.dumps({"results": [e.to_json() for e in evaluations]}, indent=2, allow_nan=False)
    try:
        aside.write_text(content + "\n", encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise FineqError(f"cannot write {path}: {error.strerror}") from error
