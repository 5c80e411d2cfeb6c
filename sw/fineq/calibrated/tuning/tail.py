"""What a model makes of the hidden states behind its last block: the last norm and the output head, or whatever it has.

And how far its predictions are from those of the full-precision model, some tokens at a time: the logits of all of them
would not fit into the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel

CHUNK_TOKENS = 256
"""Tokens whose logits are there at once."""


class Tail:
    """The model without its blocks.

    Args:
        model: with memory for everything outside the blocks.
        blocks: its decoder blocks.
        output: what a block puts out, to be imitated: hidden states, or a tuple that begins with them.
    """

    def __init__(self, model: PreTrainedModel, blocks: Sequence[nn.Module], output: Any):
        self._model, self._blocks = model, blocks
        self._further = output[1:] if isinstance(output, tuple) else None

    def logits(self, hidden: Tensor, parameters: dict[str, Tensor]) -> Tensor:
        """Float32 [tokens, vocabulary], for [tokens, width] and parameters that take the place of the model's own."""
        token_ids = torch.zeros(1, len(hidden), dtype=torch.int64, device=hidden.device)
        with self._blocks_put_out(hidden[None]):
            result = functional_call(self._model, parameters, kwargs={"input_ids": token_ids, "use_cache": False})
        return result.logits[0].float()

    @contextmanager
    def _blocks_put_out(self, hidden: Tensor) -> Iterator[None]:
        output = hidden if self._further is None else (hidden, *self._further)
        for block in self._blocks:
            block.forward = lambda *arguments, **keywords: output
        try:
            yield
        finally:
            for block in self._blocks:
                del block.forward

    def divergence(
        self, hidden: Tensor, exact: Tensor, parameters: Callable[[], dict[str, Tensor]], share: float
    ) -> tuple[float, Tensor]:
        """Kullback-Leibler divergence from the full-precision model's predictions, and its gradient.

        Args:
            hidden: behind the last quantized block, [windows, length, width].
            exact: the same of the full-precision model.
            parameters: gives those of the model outside the blocks that are trained, differentiable: their gradients
                are added.
            share: every token's part of the mean, by which the gradients are multiplied.

        Returns:
            The sum over all tokens, nats, and `share` times its gradient to `hidden`.
        """
        gradient, total = torch.empty_like(hidden), 0.0
        for window, target, slot in zip(hidden, exact, gradient, strict=True):
            for part, wanted, place in zip(*(each.split(CHUNK_TOKENS) for each in (window, target, slot)), strict=True):
                part = part.detach().requires_grad_()
                with torch.enable_grad():
                    logits = self.logits(part, parameters())
                with torch.no_grad():
                    expected = self.logits(wanted, {}).log_softmax(dim=-1)
                    found = logits.detach().log_softmax(dim=-1)
                    chance = expected.exp()
                    total += expected.sub_(found).mul_(chance).sum(dtype=torch.float64).item()
                    slope = found.exp_().sub_(chance).mul_(share)
                logits.backward(slope)
                assert part.grad is not None
                place.copy_(part.grad)
        return total, gradient
