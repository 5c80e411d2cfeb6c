"""Run a model block by block on calibration windows, and collect what its layers see.

One block works at a time: its inputs for all windows are kept, nothing else of the run is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from fineq.calibrated.arguments import BlockArguments, block_arguments, watch_calls
from fineq.common.errors import FineqError
from fineq.models.activations import watch_activations
from fineq.models.blocks import decoder_blocks
from fineq.models.language_model import block_linears

BATCH_TOKENS = 4096
"""Tokens that pass a block at once."""

LONGEST_WINDOW = 512
"""Tokens of a calibration window when the model allows more."""

SOLVER_WINDOWS = 128
"""Windows that are looked at layer by layer, spread evenly over the text; training sees all of them."""


def cut_windows(model: PreTrainedModel, token_ids: Tensor, length: int | None = None) -> Tensor:
    """Calibration windows, int64 [windows, length]: consecutive text, each window begun by BOS if the model has one.

    Args:
        token_ids: int64 [tokens], without BOS; or windows that are cut already, which are returned as they are.
        length: tokens of a window, BOS included; None: the model's longest context, at most `LONGEST_WINDOW`.

    Raises:
        FineqError: fewer tokens than one window.
    """
    token_ids = torch.as_tensor(token_ids)
    if token_ids.ndim == 2 and token_ids.numel():
        return token_ids
    config = model.config.get_text_config()
    if length is None:
        length = min(LONGEST_WINDOW, getattr(config, "max_position_embeddings", None) or LONGEST_WINDOW)
    bos = config.bos_token_id
    text = length - (bos is not None)
    if token_ids.ndim != 1 or len(token_ids) < text:
        raise FineqError(
            f"the calibration text has {token_ids.numel()} tokens, fewer than one window of {text}: give a longer text"
        )
    windows = token_ids[: len(token_ids) // text * text].view(-1, text)
    return windows if bos is None else nn.functional.pad(windows, (1, 0), value=bos)


def choose_windows(windows: Tensor, most: int | None = None) -> Tensor:
    """The windows that are looked at layer by layer, spread evenly over the text.

    Args:
        windows: int64 [windows, length].
        most: at most so many; None: `SOLVER_WINDOWS`.
    """
    count = min(len(windows), SOLVER_WINDOWS if most is None else most)
    return windows[torch.linspace(0, len(windows) - 1, count).round().long()]


def probe_windows(windows: Tensor) -> Tensor:
    """The windows that show what blocks are called with: the first, and that which is least like it, if there are two.

    Args:
        windows: int64 [windows, length].
    """
    other = int((windows != windows[0]).sum(dim=1).argmax()) or 1
    return torch.cat([windows[:1], windows[other : other + 1]])


@dataclass
class BlockRunner:
    """The decoder blocks of a model, each callable on hidden states alone.

    Attributes:
        model: the model.
        names: paths of the blocks.
        blocks: the blocks.
        others: what each block takes besides hidden states (positions, masks), the same for every window.
    """

    model: PreTrainedModel
    names: list[str]
    blocks: list[nn.Module]
    others: list[BlockArguments]

    @classmethod
    def start(cls, model: PreTrainedModel, windows: Tensor) -> tuple[BlockRunner, Tensor]:
        """The runner, and the hidden states that enter the first block: [windows, length, width].

        Raises:
            FineqError: blocks take what depends on the text, see `fineq.calibrated.arguments`.
        """
        prefix, blocks = decoder_blocks(model)
        calls = watch_calls(model, blocks, windows[:1], len(blocks))
        pair = probe_windows(windows)
        both = watch_calls(model, blocks, pair, len(blocks)) if len(pair) == 2 else [None] * len(blocks)
        others = [block_arguments(model, one, two) for one, two in zip(calls, both, strict=True)]
        entering = [calls[0], *(watch_calls(model, blocks, window[None], 1)[0] for window in windows[1:])]
        hidden = torch.cat([call.hidden for call in entering])
        return cls(model, [f"{prefix}.{n}" for n in range(len(blocks))], list(blocks), others), hidden

    def run(self, number: int, hidden: Tensor, block: nn.Module | None = None) -> Tensor:
        """Hidden states behind block `number`: [windows, length, width]. `block`: another one in its place."""
        arguments, keywords = self.others[number].for_windows(len(hidden))
        result = (self.blocks[number] if block is None else block)(hidden, *arguments, **keywords)
        return result[0] if isinstance(result, tuple) else result

    @staticmethod
    def batches(hidden: Tensor) -> tuple[Tensor, ...]:
        """The windows, some at a time: [windows, length, ...] each."""
        return hidden.split(max(1, BATCH_TOKENS // hidden.shape[1]))

    def run_all(self, number: int, hidden: Tensor, block: nn.Module | None = None) -> Tensor:
        """The same without gradients, for any number of windows."""
        with torch.no_grad():
            return torch.cat([self.run(number, part, block) for part in self.batches(hidden)])

    def linears(self, number: int) -> list[str]:
        """Names of the linear layers of a block."""
        return [name for name in block_linears(self.model) if name.startswith(self.names[number] + ".")]

    def groups(self, number: int, hidden: Tensor) -> list[list[str]]:
        """The linear layers of a block in order of execution, those with the same input together."""
        seen: dict[tuple, list[str]] = {}
        inputs = []  # kept, so that no address is used twice

        def note(name: str, values: Tensor) -> None:
            inputs.append(values)
            stem, _, last = name.rpartition(".")
            seen.setdefault((stem,) if last.isdigit() else (values.data_ptr(), values.shape[-1]), []).append(name)

        with watch_activations(self.model, self.linears(number), note), torch.no_grad():
            self.run(number, hidden[:1])
        missed = [name for name in self.linears(number) if name not in sum(seen.values(), [])]
        return [*seen.values(), *([missed] if missed else [])]


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """No dropout inside; the mode is put back."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
