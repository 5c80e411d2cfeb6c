"""Pictures of a study: roofline, energy, and what the stages do over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import matplotlib.patches
from matplotlib.figure import Figure

from fineq_hw.interface.registers import STAGES
from fineq_reports.plotting import ACCENT, PALETTE, QUIET, png_bytes
from fineq_sim.energy.model import COMPONENTS
from fineq_sim.study.outcome import PassOutcome, Study
from fineq_sim.tracing.watch import STATES, Watched

STALL = PALETTE[1]
SHOWN_CYCLES = 6000
"""Of a layer in the timeline."""


def roofline(study: Study) -> bytes:
    """Multiply-accumulates per cycle over multiply-accumulates per byte, of every layer that is timed."""
    architecture, config = study.architecture, study.architecture.config
    elements = config.array.rows * config.array.columns
    points = [
        (layer.macs / layer.count / layer.moved_bytes, layer.macs / layer.count / layer.cycles, layer, outcome)
        for outcome in study.outcomes
        for layer in outcome.layers
        if layer.cycles and layer.moved_bytes
    ]
    figure = Figure(figsize=(7.2, 4.4))
    axes = figure.subplots()
    low, high = min(p[0] for p in points) / 2, max(p[0] for p in points) * 3
    steps = sorted({each.steps_per_vector for each in study.outcomes})
    right = high
    for number in {steps[0], steps[-1]}:
        roof = elements / number
        knee = roof / architecture.port_bytes
        right = max(right, 2 * knee)
        axes.plot([low, knee, right], [low * architecture.port_bytes, roof, roof], color=QUIET, lw=1.2)
    said = " to ".join(f"{number:.2f}" for number in dict.fromkeys((steps[0], steps[-1])))
    top = (right, elements / steps[0] * 1.12)
    axes.annotate(f"array at {said} cycles/vector", top, ha="right", va="bottom", fontsize=8, color="#5b6876")
    axes.annotate(
        "bus", (low, low * architecture.port_bytes * 1.3), ha="left", va="bottom", fontsize=8, color="#5b6876"
    )
    colours = PALETTE
    passes = list(dict.fromkeys(outcome.work.name for *_, outcome in points))
    seen: set[tuple[str, bool]] = set()
    for intensity, rate, layer, outcome in points:
        on_array = layer.on_array
        key = (outcome.work.name, on_array)
        axes.scatter(
            intensity,
            rate,
            s=34 if on_array else 42,
            marker="o" if on_array else "x",
            color=colours[passes.index(outcome.work.name) % len(colours)],
            label=None if key in seen else f"{outcome.work.name}{'' if on_array else ', attention and head'}",
            zorder=3,
        )
        seen.add(key)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="MACs per byte over the bus",
        ylabel="MACs/cycle",
    )
    axes.set_title(f"{study.workload.name} on {architecture.title}", fontsize=10)
    axes.grid(True, which="major", color="#e6eaef", lw=0.7)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return png_bytes(figure, bbox_inches="tight")


def energy(study: Study) -> bytes:
    """Stacked bars, one for each DRAM figure of each pass; prefill and decoding apart, since a token costs them so
    differently."""
    outcomes = [each for each in study.outcomes if each.energy]
    groups = [list(found) for found in _by_phase(outcomes).values()]
    widths = [max(2, len(found)) for found in groups]
    figure = Figure(figsize=(1.5 * sum(widths) + 2.4, 4.2), layout="constrained")
    for axes, found in zip(figure.subplots(1, len(groups), squeeze=False, width_ratios=widths)[0], groups, strict=True):
        _energy_bars(axes, found)
    handles = [matplotlib.patches.Patch(color=colour, label=part) for part, colour in _part_colours().items()]
    figure.legend(handles=handles, fontsize=8, frameon=False, loc="outside right center")
    figure.suptitle(f"{study.workload.name} on {study.architecture.title}", fontsize=10)
    return png_bytes(figure)


def _by_phase(outcomes: Sequence[PassOutcome]) -> dict[str, list[PassOutcome]]:
    found: dict[str, list[PassOutcome]] = {}
    for each in outcomes:
        found.setdefault(each.work.phase, []).append(each)
    return found


def _part_colours() -> dict[str, Any]:
    return dict(zip((*COMPONENTS, "DRAM"), PALETTE, strict=False))


def _energy_bars(axes: Any, outcomes: Sequence[PassOutcome]) -> None:
    names = list(outcomes[0].energy.dram)  # type: ignore[union-attr]
    width = 0.8 / len(names)
    highest = 0.0
    for number, outcome in enumerate(outcomes):
        for position, name in enumerate(names):
            energy, bottom = outcome.energy, 0.0
            assert energy is not None
            x = number + (position - (len(names) - 1) / 2) * width
            for part, colour in _part_colours().items():
                value = energy.dram[name] if part == "DRAM" else energy.chip[part]
                value *= 1e3 / (outcome.work.tokens or 1)
                axes.bar(x, value, width * 0.92, bottom=bottom, color=colour)
                bottom += value
            text = f"{bottom:.3g}\n{name.removeprefix('DRAM ')}"
            axes.annotate(text, (x, bottom), ha="center", va="bottom", fontsize=7.5)
            highest = max(highest, bottom)
    labels = [
        each.work.name + ("" if each.bound.name == "given" else f"\nsteps {each.bound.name}") for each in outcomes
    ]
    axes.set_xticks(range(len(outcomes)), labels, fontsize=8)
    axes.set_ylabel("mJ/token" if all(each.work.tokens for each in outcomes) else "mJ")
    axes.set_ylim(0, highest * 1.17)
    axes.spines[["top", "right"]].set_visible(False)


def timeline(name: str, watched: Watched, cycles: int = SHOWN_CYCLES) -> bytes:
    """What each stage does in the first cycles of a layer: busy, stalled, or nothing to do."""
    shown = min(cycles, watched.cycles)
    figure = Figure(figsize=(9.0, 2.9))
    axes = figure.subplots()
    colours = {"busy": ACCENT, "stalled": STALL}
    for stage in range(len(STAGES)):
        for state, colour in colours.items():
            runs = watched.runs[(watched.runs[:, 0] == stage) & (watched.runs[:, 1] == STATES.index(state))]
            spans = [(first, min(length, shown - first)) for _, _, first, length in runs.tolist() if first < shown]
            axes.broken_barh(spans, (stage - 0.36, 0.72), facecolors=colour, linewidth=0)
    axes.set_yticks(range(len(STAGES)), [stage.replace("_", " ") for stage in STAGES], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, shown)
    axes.set_xlabel("cycle")
    axes.set_title(f"{name}: first {shown:,} cycles of the exact engine", fontsize=10)
    handles = [matplotlib.patches.Patch(color=colour, label=state) for state, colour in colours.items()]
    axes.legend(handles=handles, fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    return png_bytes(figure, bbox_inches="tight")
