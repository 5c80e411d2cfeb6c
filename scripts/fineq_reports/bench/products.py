"""Products with packed weights beside what users have otherwise: torch in float32 and bfloat16, llama.cpp in ggml."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from fineq.format import blocks_per_row
from fineq.huggingface.linear import FineqLinear
from fineq.kernels.integer import linear_integer, usable_paths
from fineq.quantizer.activations import MAX_ACTIVATION
from fineq.quantizer.arithmetic import SMALLEST_SCALE
from fineq.quantizer.vectorised import quantize
from fineq_reports.bench.ggml import TYPES, Ggml
from fineq_reports.bench.goals import Goal, judge
from fineq_reports.bench.machine import describe_machine
from fineq_reports.bench.model_speed import model_tables
from fineq_reports.bench.records import BenchTable, Report
from fineq_reports.bench.timing import measure

SHAPES = ((4096, 4096), (4096, 11008))
TOKENS = (1, 4, 8, 32, 128)
SMALL = (8, 24)
"""A layer whose product takes no time: what is left is Python."""

CALLS = 500
"""Of the small layer that are timed together."""


@dataclass(frozen=True)
class ProductReport(Report):
    goals: list[Goal] = field(default_factory=list)


def run_product_bench(
    rounds: int = 9,
    threads: int = 1,
    ggml: Path | None = None,
    shapes: tuple[tuple[int, int], ...] = SHAPES,
    with_model: bool = True,
    backend: str = "inductor",
) -> ProductReport:
    """Measure the products, the time that a call takes in Python, and a whole model.

    Args:
        rounds: how often each case runs.
        threads: for torch, the kernels and ggml.
        ggml: directory of its libraries; None: it is left out.
        shapes: [rows, K] of the matrices.
        with_model: measure a model of SmolLM2-135M's shapes too.
        backend: of `torch.compile`.
    """
    library = Ggml(ggml) if ggml else None
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        report = ProductReport(describe_machine(), {"rounds": rounds, "threads": threads})
        with torch.inference_mode():
            for rows, columns in shapes:
                report.tables.extend(product_tables(rows, columns, rounds, threads, library))
            report.tables.append(path_table(rounds, *shapes[0]))
            report.tables.append(call_table(rounds))
        report.tables.append(compiled_table(rounds, *shapes[0], backend))
        if with_model:
            report.tables.extend(model_tables(max(1, rounds // 3)))
        report.goals.extend(judge(report.tables))
        if library is None:
            report.notes.append("ggml is not measured: build it with scripts/build_ggml.py and name it with --ggml.")
        return report
    finally:
        torch.set_num_threads(before)


def product_tables(rows: int, columns: int, rounds: int, threads: int, ggml: Ggml | None) -> list[BenchTable]:
    """One layer, a table for each number of tokens."""
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    plain, half = linear(weight), linear(weight.bfloat16())
    as_float = packed_layer(weight)
    as_int8 = copy.deepcopy(as_float)
    as_int8.activation = "int8"
    names = tuple(TYPES) if ggml and columns % 256 == 0 else ()
    theirs = {name: ggml.quantize(weight, name) for name in names} if ggml else {}
    tables = []
    for tokens in TOKENS:
        x = torch.randn(tokens, columns, generator=torch.Generator().manual_seed(1))
        cases: dict[str, Callable[[], object]] = {
            "torch float32": partial(plain, x),
            "torch bfloat16": partial(half, x.bfloat16()),
            "packed, float activations": partial(as_float, x),
            "packed, int8 activations": partial(as_int8, x),
        }
        for name, packed in theirs.items():
            assert ggml is not None
            cases[f"ggml {name.upper()}"] = ggml.product(packed, x, name, threads)
        tables.append(measure(f"{rows} x {columns}, {count(tokens)}", cases, rounds, weight.numel()))
    return tables


def path_table(rounds: int, rows: int, columns: int) -> BenchTable:
    """Every path that this processor has, at one token."""
    x = torch.randn(1, columns, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    blocks = torch.randint(0, 256, (rows, 7 * blocks_per_row(columns)), dtype=torch.uint8, generator=generator)
    scales = torch.rand(rows, generator=generator)

    arguments = (x, blocks, scales, columns, MAX_ACTIVATION, SMALLEST_SCALE)
    cases: dict[str, Callable[[], object]] = {
        f"path {path}": partial(linear_integer, *arguments, path) for path in usable_paths()
    }
    return measure(f"Paths of the int8 product, {rows} x {columns}, 1 token", cases, rounds, rows * columns)


def call_table(rounds: int) -> BenchTable:
    """What a call takes apart from the product."""
    rows, columns = SMALL
    weight, x = torch.randn(rows, columns), torch.randn(1, columns)

    def many(layer: torch.nn.Module) -> Callable[[], object]:
        def run() -> None:
            for _ in range(CALLS):
                layer(x)

        return run

    cases = {
        "torch float32": many(linear(weight)),
        "packed, float activations": many(packed_layer(weight, "float")),
        "packed, int8 activations": many(packed_layer(weight, "int8")),
    }
    return measure(f"{CALLS} calls of a layer of {rows} x {columns}, 1 token", cases, rounds, CALLS * weight.numel())


def compiled_table(rounds: int, rows: int, columns: int, backend: str) -> BenchTable:
    """`torch.compile`, the whole layer one graph."""
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    x = torch.randn(1, columns, generator=torch.Generator().manual_seed(1))
    cases: dict[str, Callable[[], object]] = {}
    with torch.no_grad():
        for activation in ("float", "int8"):
            layer = packed_layer(weight, activation)
            compiled = torch.compile(packed_layer(weight, activation), fullgraph=True, backend=backend)
            cases[f"packed, {activation} activations"] = partial(layer, x)
            cases[f"packed, {activation} activations, compiled"] = partial(compiled, x)
        return measure(f"torch.compile, {rows} x {columns}, 1 token", cases, rounds, weight.numel())


def linear(weight: Tensor) -> torch.nn.Linear:
    """A layer of torch."""
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    return layer


def packed_layer(weight: Tensor, activation: str = "float") -> FineqLinear:
    """A packed layer, by recipe `paper`: which one makes no difference to its speed."""
    rows, columns = weight.shape
    packed, layer = quantize(weight, "paper"), FineqLinear(columns, rows, activation=activation)
    layer.fineq_blocks.copy_(packed.blocks)
    layer.fineq_scales.copy_(packed.scales)
    return layer


def count(tokens: int) -> str:
    return f"{tokens} token{'s' * (tokens > 1)}"
