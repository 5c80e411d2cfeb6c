"""Speed and memory, as ratios against something run beside it: what `make bench` measures.

Absolute times depend on the machine and on what else it does; a ratio of two things run in turn much less. Each
round runs every case once, the ratio is taken within the round, and the median over the rounds is the result.
"""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fineq import kernels
from fineq.huggingface.linear import FineqLinear
from fineq.quantizer.vectorised import quantize

BARS = {"quantize (paper)": 12.0, "unpack to int8": 6.0, "unpack to float16": 6.0, "packed, 32 tokens": 2.0}
"""The most that a case may take, as a multiple of what it is compared with."""

TOKENS = (1, 8, 32, 128)
FALLBACK_ROWS = 256
"""Rows of the matrix for the comparison with the torch path, which is slow."""


@dataclass(frozen=True)
class Row:
    """One case of one table. Times in seconds; ratios are to the table's baseline; rate in weights per second."""

    case: str
    seconds: float
    cpu_seconds: float
    ratio: float
    quartiles: tuple[float, float]
    cpu_ratio: float
    rate: float
    bar: float | None

    @property
    def verdict(self) -> str:
        if self.bar is None:
            return ""
        return f"{'within' if self.ratio <= self.bar else 'misses'} {self.bar:g}"


@dataclass(frozen=True)
class Table:
    title: str
    baseline: str
    rows: list[Row]


@dataclass(frozen=True)
class Peak:
    """Memory that a step takes at most beyond what was there before, in MB (None: the system does not tell)."""

    step: str
    megabytes: float | None
    compared_with: str
    comparison_megabytes: float


@dataclass(frozen=True)
class Report:
    machine: dict[str, str]
    settings: dict[str, int]
    tables: list[Table] = field(default_factory=list)
    peaks: list[Peak] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict:
        return asdict(self)


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
        report.peaks.extend(peak_memory(weight))
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


def quantize_and_unpack(weight: Tensor, rounds: int) -> Table:
    destination = torch.empty_like(weight).copy_(weight)
    packed = quantize(weight)
    cases = {
        "copy": lambda: destination.copy_(weight),
        "copy into new memory": lambda: weight.clone(),
        "quantize (paper)": lambda: quantize(weight),
        "quantize (mse)": lambda: quantize(weight, "mse"),
        "unpack to int8": lambda: packed.codes(),
        "unpack to float16": lambda: packed.dequantize(torch.float16),
    }
    return measure("Quantize and pack, unpack", cases, rounds, weight.numel())


def linear_forward(weight: Tensor, tokens: int, rounds: int) -> Table:
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


def without_kernels(weight: Tensor, rounds: int) -> list[Table]:
    """The same work by the torch path, which also runs on CUDA and where there is no compiler."""
    packed, layer = quantize(weight), packed_layer(weight)
    x = torch.randn(32, weight.shape[1], generator=torch.Generator().manual_seed(1))
    work = {
        "quantize (paper)": lambda: quantize(weight),
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


def peak_memory(weight: Tensor) -> list[Peak]:
    packed, layer = quantize(weight), packed_layer(weight)
    x = torch.randn(32, weight.shape[1], generator=torch.Generator().manual_seed(1))
    float16, float32 = 2 * weight.numel(), 4 * weight.numel()
    with torch.no_grad():
        return [
            Peak("quantize (paper)", peak_of(lambda: quantize(weight)), "packed matrix", packed.nbytes / 1e6),
            Peak("quantize (mse)", peak_of(lambda: quantize(weight, "mse")), "packed matrix", packed.nbytes / 1e6),
            Peak("unpack to int8", peak_of(packed.codes), "codes", weight.numel() / 1e6),
            Peak(
                "unpack to float16", peak_of(lambda: packed.dequantize(torch.float16)), "float16 matrix", float16 / 1e6
            ),
            Peak("linear, 32 tokens", peak_of(lambda: layer(x)), "float32 matrix", float32 / 1e6),
        ]


def on_cuda(weight: Tensor, rounds: int) -> Table:
    """The torch path on the device. Its packing is done by the CPU."""
    on_device = weight.cuda()
    destination = torch.empty_like(on_device)

    def copy() -> None:
        destination.copy_(on_device)
        torch.cuda.synchronize()

    cases = {
        "copy on the device": copy,
        "quantize (paper), CUDA": lambda: quantize(on_device),
        "quantize (mse), CUDA": lambda: quantize(on_device, "mse"),
    }
    return measure("CUDA", cases, rounds, weight.numel())


def packed_layer(weight: Tensor) -> FineqLinear:
    rows, columns = weight.shape
    packed, layer = quantize(weight), FineqLinear(columns, rows)
    layer.fineq_blocks.copy_(packed.blocks)
    layer.fineq_scales.copy_(packed.scales)
    return layer


@contextmanager
def no_kernels():  # noqa: ANN201
    before = os.environ.get("FINEQ_NATIVE")
    os.environ["FINEQ_NATIVE"] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["FINEQ_NATIVE"]
        else:
            os.environ["FINEQ_NATIVE"] = before


# -- how it is measured ----------------------------------------------------------------------------------------


def measure(title: str, cases: dict[str, Callable[[], object]], rounds: int, weights: int) -> Table:
    """Run the cases in turn. The first is the baseline; it runs before and after every other."""
    baseline, *others = cases
    for function in cases.values():  # compile, load, warm up
        function()
    times: dict[str, list[Times]] = {case: [] for case in cases}
    ratios: dict[str, list[Times]] = {case: [] for case in others}
    for _ in range(rounds):
        before = times_of(cases[baseline])
        times[baseline].append(before)
        for case in others:
            own, after = times_of(cases[case]), times_of(cases[baseline])
            times[case].append(own)
            times[baseline].append(after)
            ratios[case].append(Times(*(2 * t / (a + b) for t, a, b in zip(own, before, after, strict=True))))
            before = after
    rows = []
    for case in cases:
        taken = Times(*(median(values) for values in zip(*times[case], strict=True)))
        wall, cpu = zip(*ratios.get(case, [(1.0, 1.0)]), strict=True)
        low, _, high = quantiles(wall, method="inclusive") if len(wall) > 1 else wall * 3
        rate = weights / taken.wall
        rows.append(Row(case, taken.wall, taken.cpu, median(wall), (low, high), median(cpu), rate, BARS.get(case)))
    return Table(title, baseline, rows)


class Times(NamedTuple):
    """Seconds by the clock, and of all processors together."""

    wall: float
    cpu: float


def times_of(function: Callable[[], object]) -> Times:
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    times = Times(time.perf_counter() - wall, max(time.process_time() - cpu, 1e-9))
    del result  # giving memory back is not part of the work
    return times


def peak_of(function: Callable[[], object]) -> float | None:
    """Memory in MB that a second call of the function takes at most beyond what the process has."""
    function()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # memory that was given back and kept for later would hide the peak
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak to the present
        before = resident_peak()
        function()
        return (resident_peak() - before) / 1e6
    except (OSError, AttributeError):
        return None


def resident_peak() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def describe_machine() -> dict[str, str]:
    """Processor, number of its cores that may be used, and versions."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        compiler = kernels.build.find_compiler()
        version = subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    except (kernels.KernelError, OSError, IndexError):
        version = "none"
    return {
        "processor": processor,
        "cores": str(cores),
        "busy processes at the start": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "not known",
        "compiler": version,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


# -- how it is shown -------------------------------------------------------------------------------------------


def as_markdown(report: Report) -> str:
    """The report as a Markdown page."""
    settings = report.settings
    lines = [
        "# Speed and memory",
        "",
        "Made by `make bench`. The ratios are the result; times and rates belong to the machine below and to what "
        "else it did. On a busy machine whatever takes longer is interrupted more, so the ratio of the times comes out "
        "too high; the ratio of the CPU times, of all threads together, does not suffer from that.",
        "",
        f"Matrix {settings['rows']} x {settings['columns']}, float16; {settings['threads']} threads; "
        f"{settings['rounds']} rounds in turn; medians, quartiles of the ratio in brackets.",
        "",
        *(f"* {name}: {value}" for name, value in report.machine.items()),
    ]
    for table in report.tables:
        lines += ["", f"## {table.title}", "", f"Ratio to: {table.baseline}.", ""]
        lines += ["| Case | Time, ms | CPU time, ms | Weights per second | Ratio | CPU ratio | Bar |"]
        lines += ["|---|--:|--:|--:|--:|--:|---|"]
        for row in table.rows:
            spread = f" ({row.quartiles[0]:.2f} to {row.quartiles[1]:.2f})" if row.case != table.baseline else ""
            lines.append(
                f"| {row.case} | {1e3 * row.seconds:.2f} | {1e3 * row.cpu_seconds:.2f} | {row.rate:.3g} "
                f"| {row.ratio:.2f}{spread} | {row.cpu_ratio:.2f} | {row.verdict} |"
            )
    lines += ["", "## Peak memory", "", "Beyond what the process had before, its result included.", ""]
    lines += ["| Step | Peak, MB | Compared with | MB |", "|---|--:|---|--:|"]
    for peak in report.peaks:
        measured = "not known" if peak.megabytes is None else f"{peak.megabytes:.1f}"
        lines.append(f"| {peak.step} | {measured} | {peak.compared_with} | {peak.comparison_megabytes:.1f} |")
    lines += [f"\n{note}" for note in report.notes]
    return "\n".join(lines) + "\n"
