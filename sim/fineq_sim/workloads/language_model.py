"""From the layers of a decoder-only language model to its passes: prefill, decoding, a batch, a growing cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fineq_sim.workloads.work import Attention, Head, Linear, Pass, WorkloadError

HOST = ("norms, rotary positions, activation functions, residual sums, softmax and sampling",)
"""What the machine leaves to the host in any model (docs/hardware/architecture.md)."""


@dataclass(frozen=True)
class Layer:
    """A linear layer of the blocks.

    Attributes:
        name: in the model, or of the first of those that are alike.
        channels, inner: N, K.
        count: of layers that are alike.
        experts: matrices of which a token uses `chosen`; 1: every token uses it.
        chosen: see `experts`.
        codes: gives the integer weights of an expert by its number; None: unknown.
    """

    name: str
    channels: int
    inner: int
    count: int = 1
    experts: int = 1
    chosen: int = 1
    codes: Callable[[int], np.ndarray] | None = None


@dataclass(frozen=True)
class ModelShape:
    """What a pass through a model multiplies.

    Attributes:
        name, source: of the model; where the sizes come from, in words.
        layers: linear layers of all blocks.
        blocks, heads, kv_heads, head_size: of the attention.
        hidden, vocabulary: of the output head.
        window: keys that a query sees at most; None: all.
        unpacked: linear layers of the blocks whose weights are not packed.
    """

    name: str
    source: str
    layers: tuple[Layer, ...]
    blocks: int
    heads: int
    kv_heads: int
    head_size: int
    hidden: int
    vocabulary: int
    window: int | None = None
    unpacked: tuple[Layer, ...] = ()

    @property
    def packed_weights(self) -> int:
        """Weights of the layers that the array runs."""
        return sum(each.channels * each.inner * each.count * each.experts for each in self.layers)


def passes(
    shape: ModelShape, phase: str, sequences: Sequence[int], batch: int = 1, generate: int = 0
) -> tuple[Pass, ...]:
    """The passes of a study.

    Args:
        shape: of the model.
        phase: prefill, or decode with a cache of as many keys as the sequence is long.
        sequences: lengths, one study each.
        batch: sequences at once.
        generate: tokens to write for each sequence: after a prefill, none unless told; when decoding, at least one.

    Raises:
        WorkloadError: a number that makes no sense.
    """
    if phase not in ("prefill", "decode"):
        raise WorkloadError(f"unknown phase {phase!r}: choose prefill or decode")
    for value, name in ((batch, "batch"), *((each, "sequence length") for each in sequences)):
        if value < 1:
            raise WorkloadError(f"the {name} is {value}: it must be at least 1")
    if generate < 0:
        raise WorkloadError(f"{generate} tokens are to be generated: the number cannot be negative")
    found = []
    for sequence in sequences:
        if phase == "prefill":
            found.append(_pass(shape, "prefill", sequence, batch, before=0, queries=sequence, steps=1))
        if phase == "decode" or generate:
            found.append(_pass(shape, "decode", sequence, batch, before=sequence, queries=1, steps=max(1, generate)))
    return tuple(found)


def _pass(shape: ModelShape, phase: str, sequence: int, batch: int, before: int, queries: int, steps: int) -> Pass:
    tokens, one_by_one = batch * queries, phase == "decode"
    attention = Attention(
        "attention",
        shape.blocks,
        shape.heads,
        shape.kv_heads,
        shape.head_size,
        batch,
        before,
        steps if one_by_one else queries,
        one_by_one,
        shape.window,
    )
    heads = [Head("output head", batch, shape.vocabulary, shape.hidden, steps)]
    heads += [Head(each.name, each.tokens, each.channels, each.inner, each.count) for layer in shape.unpacked
              for each in _products(layer, tokens, steps)]  # fmt: skip
    linears = tuple(each for layer in shape.layers for each in _products(layer, tokens, steps))
    return Pass(phase, sequence, linears, (attention,), tuple(heads), HOST, tokens * steps)


def _products(layer: Layer, tokens: int, steps: int) -> list[Linear]:
    """Products of a layer; of experts those that are busy if tokens spread over them evenly, each with as many."""
    busy = min(layer.experts, tokens * layer.chosen)
    share = -(-tokens * layer.chosen // busy)
    times = layer.count * steps
    if layer.codes is None:
        return [Linear(layer.name, share, layer.channels, layer.inner, times * busy)]
    maker = layer.codes
    return [
        Linear(
            layer.name if layer.experts == 1 else f"{layer.name}[{expert}]",
            share,
            layer.channels,
            layer.inner,
            times,
            lambda expert=expert: maker(expert),  # type: ignore[misc]
        )
        for expert in range(busy)
    ]
