"""Perplexity with the usual protocol (docs/quantizer/evaluation.md): texts, tokens, measurement of any causal model.

The text is joined, tokenized once and cut into windows of equal length; a shorter rest is dropped. The model
sees each window on its own. Perplexity is exp of the mean next-token loss over all scored tokens.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fineq.common.errors import FineqError

CODE_FILES = ("../data/evaluation_text.txt", "../data/calibration_text.txt")
"""Texts that decide what is measured where none is named (`fineq.common.cache_keys`)."""

BOS_CHOICES = ("window", "text", "none")
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
    return (Path(__file__).parent / CODE_FILES[0]).resolve()


def shipped_calibration_path() -> Path:
    """The calibration text that the package carries."""
    return (Path(__file__).parent / CODE_FILES[1]).resolve()


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
