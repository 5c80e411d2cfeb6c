"""The idea in one picture: 24 weights, their codes, the seven bytes, and the pulses that the array gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fineq.format.block import BLOCK_WEIGHTS, CLUSTER_WEIGHTS, PAIR_WEIGHTS
from fineq.format.matrix import unpack_index
from fineq.format.temporal import PULSES
from fineq.quantizer.vectorised import quantize
from fineq_reports.plotting import ACCENT, PALETTE, QUIET, WIDTH, png_bytes, styled

SEED = 106
RECIPE = "mse"
_SHOWN = 12
"""Weights whose pulses are drawn."""
_ROWS = {"weights": 3.3, "codes": 2.2, "bytes": 1.1, "pulses": 0.0}


def example() -> tuple[Any, Any, Any]:
    """Seeded weights of one block, float32 [24], their codes, int8 [24], and bytes, uint8 [7]."""
    weights = torch.randn(1, BLOCK_WEIGHTS, generator=torch.Generator().manual_seed(SEED))
    packed = quantize(weights, RECIPE)
    return weights[0].numpy(), packed.codes()[0].numpy(), packed.blocks[0].numpy()


def _cells(axes: Any, row: float, texts: list[str], width: float, colours: list[str], size: float) -> None:
    for place, (text, colour) in enumerate(zip(texts, colours, strict=True)):
        axes.add_patch(Rectangle((place * width, row), width, 0.55, fc=colour, ec="white", lw=1))
        axes.text(place * width + width / 2, row + 0.27, text, ha="center", va="center", fontsize=size)


def overview() -> bytes:
    """Draw it."""
    weights, codes, blocks = example()
    tints = _tints(weights)
    with styled():
        figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.set(xlim=(-0.2, BLOCK_WEIGHTS + 0.2), ylim=(-0.7, 4.3))
        axes.axis("off")
        captions = {
            "weights": f"{BLOCK_WEIGHTS} neighbouring weights of a row, float",
            "codes": "codes in clusters of three: 2 bits each (blue), or 3, 3 and none (orange)",
            "bytes": f"packed: {len(blocks)} bytes, {8 * len(blocks) / BLOCK_WEIGHTS:.2f} bits per weight",
            "pulses": f"in the array: pulses over time (first {_SHOWN} weights, encoding unary)",
        }
        for name, row in _ROWS.items():
            axes.text(0, row + 0.68, captions[name], fontsize=8.5, va="bottom", color="#333333")
        _cells(axes, _ROWS["weights"], [f"{value:.1f}" for value in weights], 1, tints, 6)
        wide = [index > 0 for index in unpack_index(blocks[None], BLOCK_WEIGHTS)[0] for _ in range(PAIR_WEIGHTS)]
        _cells(axes, _ROWS["codes"], [str(code) for code in codes], 1, ["#f6cf8b" if w else "#cfe3f1" for w in wide], 8)
        for border in range(0, BLOCK_WEIGHTS + 1, CLUSTER_WEIGHTS):
            axes.plot([border] * 2, [_ROWS["codes"] - 0.05, _ROWS["codes"] + 0.6], color="#333333", lw=1)
        width = BLOCK_WEIGHTS / len(blocks)
        _cells(axes, _ROWS["bytes"], [f"{byte:02x}" for byte in blocks], width, ["#dde3e8"] * len(blocks), 9)
        _pulses(axes, codes[:_SHOWN])
        return png_bytes(figure)


def _tints(weights: Any) -> list[str]:
    """Blue for negative, orange for positive weights, stronger for larger ones."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    scale = LinearSegmentedColormap.from_list("signs", [PALETTE[5], "#ffffff", PALETTE[1]])
    reach = float(np.abs(weights).max())
    return [to_hex(scale(0.5 + value / reach / 2)) for value in weights]


def _pulses(axes: Any, codes: Any) -> None:
    width, base = BLOCK_WEIGHTS / len(codes), _ROWS["pulses"]
    longest = max(len(pulses) for pulses in PULSES["unary"])
    step = 0.8 * width / longest
    for place, code in enumerate(codes):
        left = place * width + 0.1 * width
        axes.plot([left, left + longest * step], [base, base], color=QUIET, lw=0.8)
        for number, pulse in enumerate(PULSES["unary"][abs(int(code))]):
            if pulse:
                colour = ACCENT if code > 0 else PALETTE[3]
                axes.add_patch(Rectangle((left + number * step, base), 0.75 * step, 0.5, fc=colour, ec="none"))
        axes.text(
            left + longest * step / 2, base - 0.12, f"{code:+d}" if code else "0", ha="center", va="top", fontsize=8
        )
    axes.text(0, base - 0.6, "blue adds the activation, red subtracts it: no multiplier", fontsize=8, va="center")
