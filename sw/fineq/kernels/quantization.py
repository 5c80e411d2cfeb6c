"""Quantize and pack rows of weights. The caller brings every number of the algorithm; none is known here."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fineq import format as block_format
from fineq.kernels import libraries
from fineq.kernels.libraries import address, int32s

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RowOptions:
    """How rows become codes.

    Attributes:
        is_signed: clusters compare the weights themselves, not their magnitudes.
        is_argmin: every pair chooses its index code by loss, not only one whose clusters disagree.
        is_squared: the loss is the squared error, not the absolute one.
        threshold: a cluster has outliers when max > threshold * min.
        smallest_scale: below it a row counts as zero.
        loss_unit: losses are rounded to multiples of it before they are summed.
        grid: scales to try, as numerators over `grid_denominator` of absmax / 3, most preferred first. Empty:
            absmax / 3 itself, without a search.
        grid_denominator: of the grid.
    """

    is_signed: bool
    is_argmin: bool
    is_squared: bool
    threshold: float
    smallest_scale: float
    loss_unit: float
    grid: Sequence[int]
    grid_denominator: int


@dataclass(frozen=True)
class WindowOptions:
    """What the array's cycles cost a row, for `quantize_rows`.

    Attributes:
        largest, cycles: for each allowance, cheapest first: the largest magnitude that a window may use, and the
            cycles that it then takes.
        columns: weights of a row in a window.
        worth: of a cycle, as a multiple of the energy of a row in units of losses.
    """

    largest: Sequence[int]
    cycles: Sequence[int]
    columns: int
    worth: float


@dataclass
class RowFigures:
    """Sums over rows of what quantizing did to them, which `quantize_rows` adds to as it goes.

    Attributes:
        own: by which clusters choose codes of their own.
        rows: how many have been added.
        error, power: squared error, and squared weights.
        outlier_clusters: clusters with 3-bit weights.
        disagreeing_pairs: pairs whose clusters, each alone, would choose different codes.
    """

    own: RowOptions
    rows: int = 0
    error: float = 0.0
    power: float = 0.0
    outlier_clusters: int = 0
    disagreeing_pairs: int = 0


def quantize_rows(
    channels: Tensor,
    options: RowOptions,
    blocks: Tensor,
    scales: Tensor,
    windows: WindowOptions | None = None,
    figures: RowFigures | None = None,
) -> int | None:
    """Quantize and pack rows.

    Args:
        channels: float32, float16 or bfloat16 [rows, K] on the CPU, any distance between rows.
        options: what to do.
        blocks, scales: contiguous uint8 [rows, 7*ceil(K/24)] and float32 [rows]; filled.
        windows: take the array's cycles into account.
        figures: of the rows; they do not depend on the number of threads. With `windows` nothing is added.

    Returns:
        The first row that holds NaN or infinity (the output is of no use then), -1 if none does, None if the
        kernel cannot do it.
    """
    source, library = row_source(channels), libraries.kernel("cycle_aware" if windows else "quantize")
    if source is None or library is None:
        return None
    before = (*source, address_of_options(options))
    after = (address(blocks), address(scales), libraries.thread_count(channels.numel()))
    if windows:
        return library.fineq_quantize_by_cycles(*before, ctypes.byref(_CycleOptions.of(windows)), *after)
    if figures is None:
        return library.fineq_quantize(*before, None, *after)
    found = _Figures.make(len(channels), figures.own)
    bad_row = library.fineq_quantize(*before, ctypes.byref(found), *after)
    found.add_to(figures)
    return bad_row


def row_source(channels: Tensor) -> tuple[Any, ...] | None:
    """Address, type, rows, length and distance of rows as the kernels take them; None if they cannot take these."""
    import torch

    types = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
    rows, length = channels.shape
    is_row_wise = channels.stride(1) == 1 or length == 1
    if channels.device.type != "cpu" or channels.dtype not in types or not is_row_wise:
        return None
    stride = channels.stride(0) * channels.element_size()
    return (
        address(channels),
        types[channels.dtype],
        ctypes.c_int64(rows),
        ctypes.c_int64(length),
        ctypes.c_int64(stride),
    )


def address_of_options(options: RowOptions) -> Any:
    """The options in the kernels' form."""
    return ctypes.byref(_Options.of(options))


class _Options(ctypes.Structure):
    """`Options` of pairs.h."""

    _fields_ = [
        ("is_signed", ctypes.c_int32),
        ("is_argmin", ctypes.c_int32),
        ("is_squared", ctypes.c_int32),
        ("threshold", ctypes.c_float),
        ("smallest_scale", ctypes.c_float),
        ("loss_unit", ctypes.c_float),
        ("grid", ctypes.POINTER(ctypes.c_int32)),
        ("grid_length", ctypes.c_int32),
        ("grid_denominator", ctypes.c_int32),
        ("payloads", ctypes.c_void_p),
    ]

    @classmethod
    def of(cls, options: RowOptions) -> _Options:
        return cls(
            options.is_signed,
            options.is_argmin,
            options.is_squared,
            options.threshold,
            options.smallest_scale,
            options.loss_unit,
            int32s(options.grid),
            len(options.grid),
            options.grid_denominator,
            block_format.encode_table().ctypes.data,
        )


class _Figures(ctypes.Structure):
    """`Figures` of quantize.cpp."""

    _fields_ = [
        ("own", ctypes.POINTER(_Options)),
        ("error", ctypes.c_void_p),
        ("power", ctypes.c_void_p),
        ("outliers", ctypes.c_void_p),
        ("disagreeing", ctypes.c_void_p),
    ]

    @classmethod
    def make(cls, rows: int, own: RowOptions) -> _Figures:
        """Room for the figures of rows, and what keeps it."""
        arrays = [np.zeros(rows), np.zeros(rows), np.zeros(rows, np.int64), np.zeros(rows, np.int64)]
        figures = cls(ctypes.pointer(_Options.of(own)), *(array.ctypes.data for array in arrays))
        figures.arrays = arrays
        return figures

    def add_to(self, figures: RowFigures) -> None:
        error, power, outliers, disagreeing = self.arrays
        figures.rows += len(error)
        figures.error += float(error.sum())
        figures.power += float(power.sum())
        figures.outlier_clusters += int(outliers.sum())
        figures.disagreeing_pairs += int(disagreeing.sum())


class _CycleOptions(ctypes.Structure):
    """`CycleOptions` of cycle_aware.cpp."""

    _fields_ = [
        ("largest", ctypes.POINTER(ctypes.c_int32)),
        ("cycles", ctypes.POINTER(ctypes.c_int32)),
        ("count", ctypes.c_int32),
        ("columns", ctypes.c_int64),
        ("worth", ctypes.c_double),
    ]

    @classmethod
    def of(cls, windows: WindowOptions) -> _CycleOptions:
        return cls(
            int32s(windows.largest), int32s(windows.cycles), len(windows.largest), windows.columns, windows.worth
        )
