"""Attention on the array: its two products with keys and values that are cached as packed codes.

Scores Q K^T and weighted sums P V have no weights. Two ways make their cached operand one that the array takes:

* `kv-fineq`: keys and values are quantized to FineQ codes. A key is an output channel with a scale of its own. A
  channel of the values runs over the keys, so it has a scale for each block of `VALUE_BLOCK` of them: one job a block,
  whose sums the host adds up. Nobody has shown yet what this costs in accuracy.
* `digits`: keys and values are exact 8-bit integers within +-121, as five planes of the balanced ternary digits -1, 0
  and 1. Every digit is a weight that takes one step; each plane is a job of its own, and the host adds 3^i times their
  sums.

Queries and probabilities are the stationary operand, as the activations of a linear layer are. The host makes softmax,
scales and what it writes into the cache. Keys are counted in blocks of as many as the array has columns: a cache is
laid out so, and lengths beside one another cost the same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fineq.format import BLOCK_WEIGHTS, bytes_per_row
from fineq_hw.config import AcceleratorConfig, MacConfig
from fineq_hw.interface.jobs import OutputFormat
from fineq_sim.workloads.work import Attention, WorkloadError

ENGINE, HOST, KV_FINEQ, DIGITS = "engine", "host", "kv-fineq", "digits"

ATTENTION_MODES = (ENGINE, HOST, KV_FINEQ, DIGITS)
"""Products without packed weights: on a unit beside the array; on the host, not counted; on the array in two ways."""

ON_ARRAY = (KV_FINEQ, DIGITS)

DIGIT_PLANES = 5
"""Balanced ternary digits of an integer within +-121."""

VALUE_BLOCK = 8 * BLOCK_WEIGHTS
"""Keys over which a channel of the values has one scale."""


@dataclass(frozen=True)
class CachedProduct:
    """A product of attention as a job of the array.

    Attributes:
        name: for tables.
        tokens, channels, inner: M, N, K.
        count: how often it runs.
        output: what it writes.
        one_step: its codes are digits, every vector takes one step; otherwise the study's assumption holds.
        macs: multiply-accumulates of all runs that are of use; tiles compute more where a query sees fewer keys.
    """

    name: str
    tokens: int
    channels: int
    inner: int
    count: int
    output: OutputFormat
    one_step: bool
    macs: int


def check_mode(mode: str, config: AcceleratorConfig) -> None:
    """Raise if there is no such mode, or not on this machine.

    Raises:
        WorkloadError: it says what there is.
    """
    if mode not in ATTENTION_MODES:
        raise WorkloadError(f"unknown attention mode {mode!r}: choose one of {', '.join(ATTENTION_MODES)}")
    if mode == DIGITS and isinstance(config.array, MacConfig):
        raise WorkloadError(
            "attention by digits is for arrays that take a step for each unit of a weight: a MAC array multiplies "
            "integers as they are, choose engine"
        )


def cached_products(attention: Attention, config: AcceleratorConfig, mode: str) -> list[CachedProduct]:
    """The jobs of one pass: for each tile of queries its scores, then its weighted sums.

    Args:
        attention: of the pass.
        config: the machine.
        mode: one of `ON_ARRAY`.
    """
    columns, size = config.array.columns, attention.head_size
    digits = mode == DIGITS
    planes = DIGIT_PLANES if digits else 1
    everywhere = attention.blocks * attention.batch * attention.kv_heads * planes
    scores: Counter[tuple[int, int, int]] = Counter()
    sums: Counter[tuple[int, int, int]] = Counter()
    for tokens, keys in _tiles(attention, config.array.rows):
        keys = -(-keys // columns) * columns
        scores[tokens, keys, size] += everywhere
        block = keys if digits else VALUE_BLOCK
        if full := keys // block:
            sums[tokens, size, block] += everywhere * full
        if keys % block:
            sums[tokens, size, keys % block] += everywhere
    output = OutputFormat.SUMS if digits else OutputFormat.FIXED
    found = [("scores", scores, output), ("weighted sums", sums, OutputFormat.SUMS)]
    products = []
    for what, jobs, written in found:
        useful = _shares(attention.macs // 2, {shape: shape[0] * shape[1] * shape[2] * jobs[shape] for shape in jobs})
        products += [
            CachedProduct(f"{attention.name}, {what}", *shape, count, written, digits, useful[shape])
            for shape, count in sorted(jobs.items())
        ]
    return products


def cache_bytes_written(attention: Attention, mode: str) -> int:
    """Packed keys and values of the queries of a pass, without scales."""
    planes = DIGIT_PLANES if mode == DIGITS else 1
    vectors = 2 * attention.blocks * attention.batch * attention.kv_heads * attention.queries
    return planes * vectors * bytes_per_row(attention.head_size)


def _tiles(attention: Attention, rows: int) -> list[tuple[int, int]]:
    """Rows of the stationary operand and keys, tile by tile: queries of a group of heads share its keys."""
    contexts, group = attention.contexts(), attention.heads // attention.kv_heads
    if attention.one_by_one:
        return [(group, int(keys)) for keys in contexts]
    tile = max(1, rows // group)
    ends = [min(start + tile, attention.queries) for start in range(0, attention.queries, tile)]
    # The last query of a tile sees the most keys.
    return [((end - 1) % tile * group + group, int(contexts[end - 1])) for end in ends]


def _shares(total: int, work: dict[tuple[int, int, int], int]) -> dict[tuple[int, int, int], int]:
    """A whole number in parts that are as the work is, and add up."""
    everything, given, passed = sum(work.values()), 0, 0
    shares = {}
    for shape, macs in work.items():
        passed += macs
        shares[shape] = total * passed // everything - given
        given += shares[shape]
    return shares
