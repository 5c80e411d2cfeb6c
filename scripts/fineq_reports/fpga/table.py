"""The table of cores on FPGAs: cells, clock, and multiply-accumulates per second and LUT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure

from fineq.common.markdown import table
from fineq.format.temporal import array_cycles, input_order
from fineq.quantizer.vectorised import quantize
from fineq_hw.config import ArrayConfig, MacConfig
from fineq_reports.plotting import ACCENT, QUIET, png_bytes
from fineq_system.boards.cores import CoreCase, Target
from fineq_system.boards.tools import Utilisation

_LAYER = (512, 1536)
"""Rows and inputs of the weights whose vectors give the pace."""


@dataclass(frozen=True)
class Row:
    """A core on an FPGA.

    Attributes:
        case: the core.
        found: what it takes; None: it does not fit.
        cycles: of a weight vector, mean.
    """

    case: CoreCase
    found: Utilisation | None
    cycles: float

    @property
    def macs(self) -> float:
        """Multiply-accumulates per second, in thousands of millions."""
        config = self.case.config
        assert self.found is not None
        return config.rows * config.columns * self.found.fmax / self.cycles / 1e3

    @property
    def macs_per_lut(self) -> float:
        """Multiply-accumulates per second and LUT, in millions."""
        assert self.found is not None
        return self.macs * 1e3 / self.found.luts


def mean_cycles(config: ArrayConfig | MacConfig) -> float:
    """Cycles of a weight vector: recipe `paper` on weights of a normal distribution, early termination."""
    if isinstance(config, MacConfig):
        return 1.0
    rows, inner = _LAYER
    weights = torch.randn(rows, inner, generator=torch.Generator().manual_seed(0))
    codes = quantize(weights, "paper").codes().numpy()
    order = input_order(inner, config.columns, config.encoding)
    vectors = codes[:, order.reshape(-1)].reshape(rows, *order.shape)
    return float(array_cycles(vectors, config.encoding).mean())


def _cells(target: Target, row: Row) -> tuple[object, ...]:
    found = row.found
    if found is None:
        return (row.case.name, "does not fit", *([""] * 7))
    return (
        row.case.name,
        f"{found.luts:,}",
        f"{found.flops:,}" if target.family != "ice40" else "in LUTs",
        found.brams,
        found.dsps,
        f"{found.fmax:.1f}",
        f"{row.cycles:.2f}",
        f"{row.macs:.2f}",
        f"{row.macs_per_lut:.2f}",
    )


def page(target: Target, rows: Sequence[Row], command: str, picture: str) -> str:
    """The report of an FPGA."""
    found = next(row.found for row in rows if row.found)
    cells = [_cells(target, row) for row in rows]
    heads = ("core", "LUTs", "flip-flops", "BRAM", "DSP", "MHz", "cycles per vector", "GMAC/s", "MMAC/s per LUT")
    return "\n".join(
        [
            f"# Cores of {target.rows} x {target.columns} on {target.text}",
            "",
            f"Made by `{command}`: Yosys and nextpnr, seed 1, each core in a frame of shift registers whose cells are "
            "taken off; flip-flops for activations, sums as `+`. The FPGA has "
            f"{found.luts_of:,} LUTs, {found.brams_of} block RAMs and {found.dsps_of} DSPs. MHz is what nextpnr's "
            "timing says, not a measurement: nothing was run on a board.",
            "",
            table(heads, cells, "lr"),
            "Cycles per vector: recipe `paper` on weights of a normal distribution, with early termination. A LUT on "
            "iCE40 is a logic cell, with its flip-flop. Decoders, buffers and all else around the core are not in it.",
            "",
            f"![LUTs, and multiply-accumulates for each]({picture})",
            "",
        ]
    )


def picture(target: Target, rows: Sequence[Row]) -> bytes:
    """LUTs of each core, and its multiply-accumulates per second and LUT."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rows = [row for row in rows if row.found]
    names = [row.case.name for row in rows]
    colours = [QUIET if isinstance(row.case.config, MacConfig) else ACCENT for row in rows]
    left.barh(names, [row.found.luts for row in rows if row.found], color=colours)
    left.set_xlabel(f"LUTs, of {next(row.found for row in rows if row.found).luts_of:,}")
    left.invert_yaxis()
    right.barh(names, [row.macs_per_lut for row in rows], color=colours)
    right.set_xlabel("million MAC/s per LUT")
    figure.suptitle(f"{target.rows} x {target.columns} on {target.text}")
    return png_bytes(figure)
