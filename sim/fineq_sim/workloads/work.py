"""The work of one pass: products that the array can run, attention, the output head, and what is left to the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fineq.common.errors import FineqError

PHASES = ("prefill", "decode", "given")
"""`given`: a file states the sizes itself."""


class WorkloadError(FineqError):
    """A workload that cannot be read, or that makes no sense; the text says why."""


@dataclass(frozen=True)
class Linear:
    """Products Y = X W^T with packed weights: what the array is for.

    Attributes:
        name: of the layer, or of the first of those that are alike.
        tokens, channels, inner: M, N, K.
        count: how often it runs, each time with other weights or later.
        codes: gives its integer weights, int8 [N, K]; None: unknown.
    """

    name: str
    tokens: int
    channels: int
    inner: int
    count: int = 1
    codes: Callable[[], np.ndarray] | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates, all runs."""
        return self.tokens * self.channels * self.inner * self.count


@dataclass(frozen=True)
class Attention:
    """Scores and weighted sums of one pass: products of two computed operands, without weights.

    Attributes:
        name: of the pass.
        blocks: of the model.
        heads, kv_heads, head_size: as in the model.
        batch: sequences.
        before: keys in the cache before the first query.
        queries: of each sequence; each sees the keys before it and its own.
        one_by_one: the queries come one after the other, as in decoding: each reads the cache anew.
        window: keys that a query sees at most; None: all.
    """

    name: str
    blocks: int
    heads: int
    kv_heads: int
    head_size: int
    batch: int
    before: int
    queries: int
    one_by_one: bool = False
    window: int | None = None

    def contexts(self) -> np.ndarray:
        """Keys that each query sees, int64 [queries]."""
        seen = self.before + 1 + np.arange(self.queries, dtype=np.int64)
        return seen if self.window is None else np.minimum(seen, self.window)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of Q K^T and P V."""
        return 2 * self.blocks * self.batch * self.heads * self.head_size * int(self.contexts().sum())

    def cache_elements(self, rows: int) -> tuple[int, int]:
        """Elements of keys and values that are read from the cache, and written to it.

        Args:
            rows: queries that one pass through the keys serves.
        """
        contexts, group = self.contexts(), self.heads // self.kv_heads
        if self.one_by_one:
            passes = int(contexts.sum()) * -(-group // rows)
        else:
            tile = max(1, rows // group)  # tokens whose queries of one group of heads are served together
            last = contexts[np.minimum(np.arange(tile - 1, self.queries - 1 + tile, tile), self.queries - 1)]
            passes = int(last.sum()) * -(-min(tile, self.queries) * group // rows)
        width = 2 * self.blocks * self.batch * self.kv_heads * self.head_size
        return width * passes, width * self.queries


@dataclass(frozen=True)
class Head:
    """A product whose weights are not packed, such as the output head: M, N, K, and how often it runs."""

    name: str
    tokens: int
    channels: int
    inner: int
    count: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates, all runs."""
        return self.tokens * self.channels * self.inner * self.count


@dataclass(frozen=True)
class Pass:
    """One pass through a model, or all of a file.

    Attributes:
        phase: one of `PHASES`.
        sequence: tokens of each prompt (prefill), keys in the cache at the beginning (decode); None: `given`.
        linears, attentions, heads: its products.
        host: what is left to the host and not counted, in words.
        tokens: that the pass takes in or gives out, over the batch.
    """

    phase: str
    sequence: int | None
    linears: tuple[Linear, ...]
    attentions: tuple[Attention, ...] = ()
    heads: tuple[Head, ...] = ()
    host: tuple[str, ...] = ()
    tokens: int | None = None

    def __post_init__(self) -> None:
        products: list[Linear | Head] = [*self.linears, *self.heads]
        for each in products:
            for size, value in (("M", each.tokens), ("N", each.channels), ("K", each.inner), ("count", each.count)):
                if value < 1:
                    raise WorkloadError(f"{each.name}: {size} is {value}: every size must be at least 1")

    @property
    def name(self) -> str:
        """For tables."""
        return self.phase if self.sequence is None else f"{self.phase} {self.sequence}"

    @property
    def macs(self) -> int:
        """Multiply-accumulates of everything that is counted."""
        parts: list[Linear | Attention | Head] = [*self.linears, *self.attentions, *self.heads]
        return sum(each.macs for each in parts)


@dataclass(frozen=True)
class Workload:
    """Passes of one model or file.

    Attributes:
        name: of the model or file.
        source: where the sizes come from, in words.
        passes: in order.
    """

    name: str
    source: str
    passes: tuple[Pass, ...]
