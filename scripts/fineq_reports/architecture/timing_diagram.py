"""Timing diagram of the six overlapped stages, from a recorded waveform of the whole machine."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from amaranth.lib import data
from matplotlib import pyplot

from fineq_hw.config import AcceleratorConfig
from fineq_hw.control.structs import counter_events_layout
from fineq_reports.architecture.waveform import read_signals, runs

STAGES: tuple[tuple[str, str], ...] = (
    ("memory_access", "1 memory access"),
    ("decode", "2 decode"),
    ("preload", "3 input preload"),
    ("multiply", "4 matrix multiplication"),
    ("vector", "5 vector processing"),
    ("write_back", "6 write-back"),
)
"""Stages of the paper's pipeline (Section IV-A) by the names of their counters."""

_EVENTS = "registers.events"
_COLOURS = ("#4c78a8", "#72b7b2", "#eeca3b", "#e45756", "#b279a2", "#9d755d")


def stage_activity(waveform: Path, config: AcceleratorConfig) -> dict[str, np.ndarray]:
    """Cycles in which each stage moves or computes something: bool [cycles] by the stage's name.

    These are the bits that the performance counters count.

    Raises:
        ValueError: the waveform is not one of a whole accelerator.
    """
    events = read_signals(waveform, [_EVENTS])[_EVENTS]
    layout: data.StructLayout = counter_events_layout(config)
    busy = {}
    for stage, _ in STAGES:
        field = layout[f"{stage}_busy"]
        busy[stage] = (events >> field.offset & ((1 << field.width) - 1)) != 0
    return busy


def draw(busy: dict[str, np.ndarray], title: str, file: Path) -> dict[str, float]:
    """Draw the busy cycles of each stage over the run of a job.

    Args:
        busy: see `stage_activity`.
        title: of the picture.
        file: PNG to write.

    Returns:
        Share of the drawn cycles in which each stage is busy.

    Raises:
        ValueError: no stage ever works.
    """
    any_busy = np.flatnonzero(np.any(list(busy.values()), axis=0))
    if not any_busy.size:
        raise ValueError("no stage is ever busy in this waveform: record a run that computes a layer")
    first, last = int(any_busy[0]), int(any_busy[-1]) + 1
    figure, axes = pyplot.subplots(figsize=(13, 3.6))
    shares = {}
    for row, ((stage, _), colour) in enumerate(zip(STAGES, _COLOURS, strict=True)):
        levels = busy[stage][first:last]
        shares[stage] = float(levels.mean())
        axes.broken_barh(list(runs(levels)), (-row - 0.35, 0.7), facecolors=colour, linewidth=0)
        axes.text(1.005, -row, f"{100 * shares[stage]:.0f} %", transform=axes.get_yaxis_transform(), va="center")
    axes.set_yticks([-row for row in range(len(STAGES))], [label for _, label in STAGES])
    axes.set_xlim(0, last - first)
    axes.set_xlabel("cycle of the job")
    axes.set_title(title, fontsize=11)
    axes.grid(axis="x", alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, dpi=130, metadata={"Software": None})
    pyplot.close(figure)
    return shares
