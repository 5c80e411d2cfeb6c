"""Tables and plot of a synthesis run: Markdown for people, JSON for programs, PNG for slides.

Nothing here measures; all figures come from `Result` objects. The same results give the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fineq_hw.config import MacConfig
from fineq_hw.ppa.designs import BLOCKS, OUTSIDE_ARRAY, Design
from fineq_hw.ppa.errors import SynthesisError
from fineq_hw.ppa.power import Power, total_power
from fineq_hw.ppa.timing import TimingReport

PAPER_ELEMENTS = 64 * 64
PAPER_AREA_MM2 = {"systolic array": 0.954, "FineQ decoder": 0.008, "FineQ PE array": 0.370}
PAPER_POWER_MW = {"systolic array": 88.793, "FineQ decoder": 0.187, "FineQ PE array": 32.891}
"""Table III of the paper: 64 x 64, a commercial 45 nm flow at 400 MHz."""

POWER_KINDS = ("internal", "switching", "leakage", "total")


@dataclass(frozen=True)
class Result:
    """What was found out about one design.

    Attributes:
        design: which.
        cells, registers: number of cells and, among them, of flip-flops and latches.
        area: cell area in um^2 by block.
        timing: setup and hold.
        power: W by block.
        cycles_per_vector: measured in the gate-level run.
        checked: results of the gate-level run that were compared with the integer reference.
        cross_check: total power in W by another engine on the same activity, where one was found.
    """

    design: Design
    cells: int
    registers: int
    area: dict[str, float]
    timing: TimingReport
    power: dict[str, Power]
    cycles_per_vector: float
    checked: int
    cross_check: dict[str, float] = field(default_factory=dict)

    @property
    def total_area(self) -> float:
        return sum(self.area.values())

    @property
    def array_area(self) -> float:
        """Without what stands in front of the array: decoders and slice multiplexer."""
        return sum(area for block, area in self.area.items() if block not in OUTSIDE_ARRAY)

    @property
    def total_power(self) -> Power:
        return total_power(self.power)

    @property
    def area_cycles(self) -> float:
        """um^2 x cycles per multiply-accumulate: the area that one MAC per cycle takes."""
        return self.total_area * self.cycles_per_vector / self.design.elements

    @property
    def energy_per_mac(self) -> float:
        """J per multiply-accumulate."""
        vector_time = self.cycles_per_vector * self.timing.clock_ns * 1e-9
        return self.total_power.total * vector_time / self.design.elements

    def as_dict(self) -> dict:
        power = {block: _power_dict(value) for block, value in _ordered(self.power).items()}
        return {
            "top": self.design.top,
            "title": self.design.title,
            "rows": self.design.config.rows,
            "columns": self.design.config.columns,
            "cells": self.cells,
            "registers": self.registers,
            "area_um2": {block: round(area, 3) for block, area in _ordered(self.area).items()},
            "area_total_um2": round(self.total_area, 3),
            "area_per_element_um2": round(self.total_area / self.design.elements, 3),
            "clock_ns": self.timing.clock_ns,
            "worst_slack_ns": self.timing.worst_slack_ns,
            "hold_slack_ns": self.timing.hold_slack_ns,
            "max_clock_mhz": round(self.timing.max_clock_mhz, 1),
            "worst_path": list(self.timing.path),
            "power_w": power | {"total": _power_dict(self.total_power)},
            "cycles_per_vector": round(self.cycles_per_vector, 4),
            "area_cycles_per_mac_um2": round(self.area_cycles, 3),
            "energy_per_mac_pj": round(self.energy_per_mac * 1e12, 5),
            "results_checked": self.checked,
            "cross_check_w": self.cross_check,
        }


@dataclass(frozen=True)
class Run:
    """A whole run.

    Attributes:
        size: such as `64x64`.
        clock_ns: target clock.
        results: one per design.
        tools: versions and checksums by name.
        activity: what data the activity comes from.
        other_cycles: mean cycles per vector on other data, by description.
        command: what makes the same report again.
    """

    size: str
    clock_ns: float
    results: Sequence[Result]
    tools: dict[str, str]
    activity: str
    other_cycles: dict[str, float]
    command: str

    @property
    def baseline(self) -> Result | None:
        """The smallest MAC array with 3-bit weights: the hardest baseline."""
        found = [r for r in self.results if isinstance(r.design.config, MacConfig) and r.design.config.weight_bits == 3]
        return min(found, key=lambda r: r.total_area, default=None)


def _ordered(blocks: dict) -> dict:
    return {block: blocks[block] for block in (*BLOCKS, *sorted(set(blocks) - set(BLOCKS))) if block in blocks}


def _power_dict(power: Power) -> dict[str, float]:
    names = POWER_KINDS
    return {name: float(f"{getattr(power, name):.6g}") for name in names}


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(["---"] + ["---:"] * (len(header) - 1)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def markdown(run: Run) -> str:
    """The report as Markdown."""
    baseline = run.baseline
    parts = [f"# Synthesis, {run.size}\n"]
    parts.append(
        f"FreePDK45 (NanGate open cell library, typical corner, 1.1 V, 25 C), {1000 / run.clock_ns:g} MHz. Made by "
        f"`{run.command}`. docs/synthesis.md says how each figure comes about and what it leaves out: no layout, an "
        "ideal clock, no glitches.\n"
    )
    parts.append(f"Activity: {run.activity}. Every result of the gate-level runs equals the integer reference.\n")
    parts.append("## Comparison\n\nThe FineQ rows include decoders, slice multiplexer and control.\n")
    header = ["design", "area um2", "um2 / PE", "slack ns", "max MHz", "power mW", "cycles / vector"]
    header += ["um2 x cycles / MAC", "pJ / MAC"]
    rows = []
    for r in run.results:
        row = [
            f"{r.design.title} (`{r.design.top}`)",
            f"{r.total_area:.0f}",
            f"{r.total_area / r.design.elements:.1f}",
            f"{r.timing.worst_slack_ns:+.3f}",
            f"{r.timing.max_clock_mhz:.0f}",
            f"{r.total_power.total * 1e3:.2f}",
            f"{r.cycles_per_vector:.3f}",
            f"{r.area_cycles:.1f}",
            f"{r.energy_per_mac * 1e12:.4f}",
        ]
        rows.append(row)
    rows += _paper_rows()
    parts.append(_table(header, rows))
    parts.append("The paper's cycles are implied by its 1.79x energy efficiency, not stated by it.\n")
    if baseline is not None:
        parts.append(_ratios(run, baseline))
    missed = [f"- {r.design.title}: {r.timing.verdict()}" for r in run.results if not r.timing.met]
    if missed:
        parts.append("## Clock not met\n\n" + "\n".join(missed) + "\n")
    if run.other_cycles:
        parts.append("## Cycles per weight vector on other data\n")
        parts.append(_table(["data", "cycles / vector"], [[k, f"{v:.3f}"] for k, v in run.other_cycles.items()]))
    parts.append("## Area by block, um2\n")
    parts.append(_block_table(run, lambda r: {block: f"{area:.0f}" for block, area in r.area.items()}))
    parts.append("## Power by block, mW\n")
    parts.append(_block_table(run, lambda r: {block: f"{p.total * 1e3:.3f}" for block, p in r.power.items()}))
    parts.append("## Power by kind, mW\n")
    names = POWER_KINDS
    kinds = [[r.design.title] + [f"{getattr(r.total_power, k) * 1e3:.3f}" for k in names] for r in run.results]
    parts.append(_table(["design", *names], kinds))
    crossed = [r for r in run.results if r.cross_check]
    if crossed:
        parts.append("## Power by other tools on the same activity, mW\n")
        tools = sorted({tool for r in crossed for tool in r.cross_check})
        table = [[r.design.title] + [f"{r.cross_check.get(t, float('nan')) * 1e3:.3f}" for t in tools] for r in crossed]
        parts.append(_table(["design", *tools], table))
    parts.append("## Worst paths\n")
    parts += [f"- {r.design.title}: {r.timing.verdict()}" for r in run.results]
    parts.append("\n## Tools\n")
    parts.append(_table(["tool", "version"], [[name, value] for name, value in run.tools.items()]))
    return "\n".join(parts)


def _block_table(run: Run, values) -> str:
    columns = [values(result) for result in run.results]
    used = [block for block in BLOCKS if any(block in column for column in columns)]
    rows = [[block] + [column.get(block, "") for column in columns] for block in used]
    return _table(["block", *(result.design.title for result in run.results)], rows)


def _paper_rows() -> list[list[str]]:
    mac_area, mac_power = PAPER_AREA_MM2["systolic array"], PAPER_POWER_MW["systolic array"]
    area = PAPER_AREA_MM2["FineQ PE array"] + PAPER_AREA_MM2["FineQ decoder"]
    power = PAPER_POWER_MW["FineQ PE array"] + PAPER_POWER_MW["FineQ decoder"]
    cycles = mac_power / power / 1.79
    rows = []
    for title, mm2, mw, pace in (("MAC systolic array", mac_area, mac_power, 1.0), ("FineQ", area, power, cycles)):
        element = mm2 * 1e6 / PAPER_ELEMENTS
        energy = mw * 1e-3 * pace * 2.5e-9 / PAPER_ELEMENTS * 1e12
        rows.append(
            [f"*paper, Table III, 64x64: {title}*", f"{mm2 * 1e6:.0f}", f"{element:.1f}", "", "400", f"{mw:.2f}"]
            + [f"{pace:.2f}", f"{element * pace:.1f}", f"{energy:.4f}"]
        )
    return rows


def _ratios(run: Run, baseline: Result) -> str:
    lines = [f"## Against the smallest 3-bit MAC array ({baseline.design.title})\n"]
    rows = []
    for r in run.results:
        rows.append(
            [
                r.design.title,
                f"{(r.total_area / baseline.total_area - 1) * 100:+.1f} %",
                f"{(r.array_area / baseline.array_area - 1) * 100:+.1f} %",
                f"{(r.total_power.total / baseline.total_power.total - 1) * 100:+.1f} %",
                f"{baseline.area_cycles / r.area_cycles:.2f}x",
                f"{baseline.energy_per_mac / r.energy_per_mac:.2f}x",
            ]
        )
    header = ["design", "area", "area, array alone", "power", "throughput per area", "MACs per energy"]
    return "\n".join([*lines, _table(header, rows)])


def as_json(run: Run) -> str:
    """The report as JSON."""
    document = {
        "size": run.size,
        "clock_ns": run.clock_ns,
        "command": run.command,
        "activity": run.activity,
        "other_cycles_per_vector": {name: round(value, 4) for name, value in run.other_cycles.items()},
        "tools": run.tools,
        "paper_table_iii": {"area_mm2": PAPER_AREA_MM2, "power_mw": PAPER_POWER_MW, "elements": PAPER_ELEMENTS},
        "designs": [result.as_dict() for result in run.results],
    }
    return json.dumps(document, indent=1) + "\n"


def write_plot(run: Run, path: Path) -> None:
    """Bars of area and power by block, one bar a design."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    titles = [r.design.title.replace(", ", "\n").replace(" weights", "") for r in run.results]
    for axis, label, value in (
        (axes[0], "um² per processing element", lambda r, b: r.area.get(b, 0.0) / r.design.elements),
        (axes[1], "mW", lambda r, b: r.power[b].total * 1e3 if b in r.power else 0.0),
    ):
        bottom = [0.0] * len(titles)
        for number, block in enumerate(BLOCKS):
            heights = [value(r, block) for r in run.results]
            if any(heights):
                axis.bar(titles, heights, bottom=bottom, label=block, color=f"C{number}", width=0.65)
                bottom = [b + h for b, h in zip(bottom, heights, strict=True)]
        axis.set_ylabel(label)
        axis.tick_params(axis="x", labelsize=6)
    axes[0].set_title(f"Area, {run.size}")
    axes[1].set_title(f"Power at {1000 / run.clock_ns:g} MHz, {run.size}")
    axes[1].legend(fontsize=8)
    figure.savefig(path, dpi=120, metadata={"Software": None}, format="png")
    pyplot.close(figure)


def write_report(run: Run, directory: Path) -> list[Path]:
    """Write `synth-<size>.md`, `.json` and `.png` into a directory; all or nothing per file.

    Raises:
        SynthesisError: the directory cannot be written.
    """
    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for suffix in ("md", "json", "png"):
            path = directory / f"synth-{run.size}.{suffix}"
            part = path.with_name(path.name + ".part")
            if suffix == "png":
                write_plot(run, part)
            else:
                part.write_text(markdown(run) if suffix == "md" else as_json(run), encoding="utf-8")
            os.replace(part, path)
            written.append(path)
    except OSError as error:
        raise SynthesisError(f"cannot write the report to {directory}: {error.strerror}") from None
    return written
