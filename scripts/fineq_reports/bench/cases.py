"""The cases: quantizing, unpacking and multiplying, with the kernels and without, and the memory they take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from fineq import kernels
from fineq.baselines.gptq import Gptq
from fineq.calibrated import SolverOptions, solve
from fineq.huggingface.linear import FineqLinear
from fineq.quantizer.vectorised import quantize
from fineq_reports.bench.machine import describe_machine
from fineq_reports.bench.records import BenchTable, Peak, Report
from fineq_reports.bench.simulator import simulator
from fineq_reports.bench.timing import measure, peak_of
from fineq_reports.bench.whole_model import quantize_a_model

TOKENS = (1, 8, 32, 128)
SOLVER_SHAPE = (192, 576)
"""Of the matrix that the calibrated solver works on, at most: the keys of SmolLM2-135M."""

LARGE_ROWS = 1024
"""Of a matrix from which on the simulator is measured on a large model."""

FALLBACK_ROWS = 256
"""Rows of the matrix for the comparison with the torch path, which is slow."""


def run_bench(rows: int = 4096, columns: int = 11008, rounds: int = 9, threads: int = 2) -> Report:
    """Measure everything on one matrix.

    Args:
        rows, columns: of the weight matrix, float16, Gaussian.
        rounds: how often each case runs.
        threads: for torch and the kernels.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        settings = {"rows": rows, "columns": columns, "rounds": rounds, "threads": threads}
        report = Report(describe_machine(), settings)
        weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0)).half()
        report.tables.append(quantize_and_unpack(weight, rounds))
        report.tables.extend(linear_forward(weight, tokens, rounds) for tokens in TOKENS)
        report.tables.extend(without_kernels(weight[:FALLBACK_ROWS], max(1, rounds // 3)))
        report.tables.extend(quantize_a_model(max(1, rounds // 3)))
        report.tables.append(
            calibrated_solver(min(rows, SOLVER_SHAPE[0]), min(columns, SOLVER_SHAPE[1]), min(rounds, 3))
        )
        report.peaks.extend(peak_memory(weight))
        # The model of the simulator's goals; a small one where the matrix is small too.
        model, sequence = ("llama-2-7b", 2048) if rows >= LARGE_ROWS else ("smollm2-135m", 64)
        tables, peaks, notes = simulator(model, sequence, min(rounds, 3))
        report.tables.extend(tables)
        report.peaks.extend(peaks)
        report.notes.extend(notes)
        if torch.cuda.is_available():
            report.tables.append(on_cuda(weight, rounds))
        else:
            report.notes.append("No CUDA device: nothing measured there.")
        if not kernels.available():
            report.notes.append(f"The kernels are not in use: {kernels.reason()}.")
        return report
    finally:
        torch.set_num_threads(before)


# -- what is measured ------------------------------------------------------------------------------------------


def quantize_and_unpack(weight: Tensor, rounds: int) -> BenchTable:
    destination = torch.empty_like(weight).copy_(weight)
    packed = quantize(weight, "paper")
    cases = {
        "copy": lambda: destination.copy_(weight),
        "copy into new memory": lambda: weight.clone(),
        "quantize (paper)": lambda: quantize(weight, "paper"),
        "quantize (mse)": lambda: quantize(weight, "mse"),
        "unpack to int8": lambda: packed.codes(),
        "unpack to float16": lambda: packed.dequantize(torch.float16),
    }
    return measure("Quantize and pack, unpack", cases, rounds, weight.numel())


def linear_forward(weight: Tensor, tokens: int, rounds: int) -> BenchTable:
    rows, columns = weight.shape
    plain = torch.nn.Linear(columns, rows, bias=False)
    plain.weight = torch.nn.Parameter(weight.float(), requires_grad=False)
    packed = packed_layer(weight)
    x = torch.randn(tokens, columns, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        cases = {
            f"float32, {tokens} token{'s' * (tokens > 1)}": lambda: plain(x),
            f"packed, {tokens} token{'s' * (tokens > 1)}": lambda: packed(x),
        }
        return measure(f"Linear layer, {tokens} token{'s' * (tokens > 1)}", cases, rounds, weight.numel())


def without_kernels(weight: Tensor, rounds: int) -> list[BenchTable]:
    """The same work by the torch path, which also runs on CUDA and where there is no compiler."""
    packed, layer = quantize(weight, "paper"), packed_layer(weight)
    x = torch.randn(32, weight.shape[1], generator=torch.Generator().manual_seed(1))
    work: dict[str, Callable[[], object]] = {
        "quantize (paper)": lambda: quantize(weight, "paper"),
        "unpack to int8": packed.codes,
        "linear, 32 tokens": lambda: layer(x),
    }

    def without(function: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            with no_kernels():
                function()

        return run

    with torch.no_grad():
        return [
            measure(
                f"{name[0].upper()}{name[1:]} without the kernels, first {len(weight)} rows",
                {"kernels": function, "no kernels": without(function)},
                rounds,
                weight.numel(),
            )
            for name, function in work.items()
        ]


def calibrated_solver(rows: int, columns: int, rounds: int) -> BenchTable:
    """The solver of the calibrated recipes beside GPTQ, both in error feedback through the same Hessian.

    GPTQ rounds each row once, column by column; the solver tries six scales a row and sweeps over the codes.
    """
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(rows, columns, generator=generator)
    inputs = torch.randn(4 * columns, columns, generator=generator) * torch.logspace(-1, 0.3, columns)
    hessian = (inputs.T @ inputs).double() / len(inputs)
    gptq, options = Gptq(bits=2, group=128), SolverOptions()

    def reference() -> None:
        with no_kernels():
            solve(weight, hessian, options)

    cases: dict[str, Callable[[], object]] = {
        "GPTQ, 2 bits, g128": lambda: gptq.quantize(weight, hessian),
        "calibrated": lambda: solve(weight, hessian, options),
        "calibrated, without the kernels": reference,
    }
    return measure(f"Calibrated solver, {rows} x {columns}", cases, rounds, weight.numel())


def peak_memory(weight: Tensor) -> list[Peak]:
    packed, layer = quantize(weight, "paper"), packed_layer(weight)
    x = torch.randn(32, weight.shape[1], generator=torch.Generator().manual_seed(1))
    float16, float32 = 2 * weight.numel(), 4 * weight.numel()
    with torch.no_grad():
        return [
            Peak("quantize (paper)", peak_of(lambda: quantize(weight, "paper")), "packed matrix", packed.nbytes / 1e6),
            Peak("quantize (mse)", peak_of(lambda: quantize(weight, "mse")), "packed matrix", packed.nbytes / 1e6),
            Peak("unpack to int8", peak_of(packed.codes), "codes", weight.numel() / 1e6),
            Peak(
                "unpack to float16", peak_of(lambda: packed.dequantize(torch.float16)), "float16 matrix", float16 / 1e6
            ),
            Peak("linear, 32 tokens", peak_of(lambda: layer(x)), "float32 matrix", float32 / 1e6),
        ]


def on_cuda(weight: Tensor, rounds: int) -> BenchTable:
    """The torch path on the device. Its packing is done by the CPU."""
    on_device = weight.cuda()
    destination = torch.empty_like(on_device)

    def copy() -> None:
        destination.copy_(on_device)
        torch.cuda.synchronize()

    cases: dict[str, Callable[[], object]] = {
        "copy on the device": copy,
        "quantize (paper), CUDA": lambda: quantize(on_device, "paper"),
        "quantize (mse), CUDA": lambda: quantize(on_device, "mse"),
    }
    return measure("CUDA", cases, rounds, weight.numel())


def packed_layer(weight: Tensor) -> FineqLinear:
    rows, columns = weight.shape
    packed, layer = quantize(weight, "paper"), FineqLinear(columns, rows)
    layer.get_buffer("fineq_blocks").copy_(packed.blocks)
    layer.get_buffer("fineq_scales").copy_(packed.scales)
    return layer


@contextmanager
def no_kernels() -> Iterator[None]:
    before = os.environ.get("FINEQ_NATIVE")
    os.environ["FINEQ_NATIVE"] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["FINEQ_NATIVE"]
        else:
            os.environ["FINEQ_NATIVE"] = before
