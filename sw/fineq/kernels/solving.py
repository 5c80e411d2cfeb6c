"""Rows of weights into codes for given inputs of their layer. The caller brings every number of the algorithm."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fineq.format import PAIR_WEIGHTS
from fineq.kernels import libraries
from fineq.kernels.libraries import address

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PairMetric:
    """What is known of a layer's inputs, float64: K columns in whole pairs (`fineq.calibrated.metric`).

    Attributes:
        matrix, spread: [K, K].
        feedback_carry, inverse, carry: [pairs, 6, 6].
        feedback_power, power: [pairs, 6].
    """

    matrix: Tensor
    spread: Tensor
    feedback_carry: Tensor
    feedback_power: Tensor
    inverse: Tensor
    carry: Tensor
    power: Tensor


@dataclass(frozen=True)
class SolverNumbers:
    """Numbers of the solver.

    Attributes:
        factors: multiples of the scale on the diagonal that are tried with error feedback.
        grid: multiples of the largest scale that are tried on the diagonal, the preferred of equals first.
        sweeps: at most so many.
        largest: magnitude of a code.
        smallest_scale: below it a row counts as zero.
        improvement: a pair changes if its loss falls below that share of the present one.
    """

    factors: Sequence[float]
    grid: Sequence[float]
    sweeps: int
    largest: int
    smallest_scale: float
    improvement: float


def solve_rows(rows: Tensor, metric: PairMetric, numbers: SolverNumbers) -> tuple[Tensor, Tensor, Tensor] | None:
    """Quantize rows.

    Args:
        rows: float64 [rows, K] on the CPU, finite.
        metric: of the layer's inputs.
        numbers: what to do.

    Returns:
        Codes int8 [rows, K], index codes uint8 [rows, pairs] and scales float32 [rows], the same whatever the
        number of threads; None if the kernel cannot do it.
    """
    import torch

    tensors = [rows, *vars(metric).values()]
    if any(tensor.device.type != "cpu" or tensor.dtype != torch.float64 for tensor in tensors):
        return None
    if not numbers.factors or not numbers.grid:
        return None
    library = libraries.kernel("solve")
    if library is None:
        return None
    kept = {name: tensor.contiguous() for name, tensor in vars(metric).items()}
    rows = rows.contiguous()
    count, columns = rows.shape
    codes = torch.empty((count, columns), dtype=torch.int8)
    index = torch.empty((count, columns // PAIR_WEIGHTS), dtype=torch.uint8)
    scales = torch.empty(count, dtype=torch.float32)
    library.fineq_solve(
        address(rows),
        ctypes.c_int64(count),
        ctypes.byref(_Metric(columns, **{name: tensor.data_ptr() for name, tensor in kept.items()})),
        ctypes.byref(_Numbers.of(numbers)),
        address(codes),
        address(index),
        address(scales),
        libraries.thread_count(count * columns * columns),
    )
    return codes, index, scales


class _Metric(ctypes.Structure):
    """`Metric` of solve.cpp."""

    _fields_ = [
        ("columns", ctypes.c_int64),
        ("matrix", ctypes.c_void_p),
        ("spread", ctypes.c_void_p),
        ("feedback_carry", ctypes.c_void_p),
        ("feedback_power", ctypes.c_void_p),
        ("inverse", ctypes.c_void_p),
        ("carry", ctypes.c_void_p),
        ("power", ctypes.c_void_p),
    ]


class _Numbers(ctypes.Structure):
    """`Options` of solve.cpp."""

    _fields_ = [
        ("factors", ctypes.POINTER(ctypes.c_double)),
        ("grid", ctypes.POINTER(ctypes.c_double)),
        ("factor_count", ctypes.c_int32),
        ("grid_count", ctypes.c_int32),
        ("sweeps", ctypes.c_int32),
        ("largest", ctypes.c_int32),
        ("smallest_scale", ctypes.c_double),
        ("improvement", ctypes.c_double),
    ]

    @classmethod
    def of(cls, numbers: SolverNumbers) -> _Numbers:
        return cls(
            _doubles(numbers.factors),
            _doubles(numbers.grid),
            len(numbers.factors),
            len(numbers.grid),
            numbers.sweeps,
            numbers.largest,
            numbers.smallest_scale,
            numbers.improvement,
        )


def _doubles(values: Sequence[float]) -> Any:
    return (ctypes.c_double * len(values))(*values)
