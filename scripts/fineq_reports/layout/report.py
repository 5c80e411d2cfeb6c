"""Reports of layouts as Markdown and JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fineq.common.files import write_text
from fineq.common.markdown import table
from fineq_asic.layout.results import CATEGORIES, LayoutResult

_table = partial(table, align="lr")


def write_layout_report(result: LayoutResult, tools: dict[str, str], notes: Sequence[str], output: Path) -> list[Path]:
    """Write layout-<name>.md and .json.

    Args:
        result: the figures.
        tools: versions and checksums by name.
        notes: conditions of the run, one line each.
        output: directory; the picture is expected there too.
    """
    stem = f"layout-{result.name}"
    document = {"result": dataclasses.asdict(result), "tools": tools, "notes": list(notes)}
    write_text(output / f"{stem}.json", json.dumps(document, indent=1) + "\n")
    write_text(output / f"{stem}.md", _markdown(result, tools, notes, stem))
    return [output / f"{stem}.{kind}" for kind in ("md", "json", "png")]


def read_layout_report(path: Path) -> LayoutResult:
    """The figures of a JSON report."""
    values = json.loads(path.read_text(encoding="utf-8"))["result"]
    for name in ("die", "core", "path"):
        values[name] = tuple(values[name])
    values["power"] = {group: tuple(parts) for group, parts in values["power"].items()}
    return LayoutResult(**values)


def _verdict(result: LayoutResult) -> str:
    if result.met:
        return "met"
    missed = []
    if result.setup_slack_ns < 0:
        missed.append(f"setup missed by {-result.setup_slack_ns:.3f} ns")
    if result.hold_slack_ns < 0:
        missed.append(f"hold missed by {-result.hold_slack_ns:.3f} ns")
    return ", ".join(missed)


def _markdown(result: LayoutResult, tools: dict[str, str], notes: Sequence[str], stem: str) -> str:
    length = sum(result.wire_length.values())
    power = result.total_power
    lines = [
        f"# Layout of {result.title}",
        "",
        f"`make pnr PNR_DESIGN={result.name}`, explained in [docs/flows/layout.md](../flows/layout.md).",
        "",
        f"![placement and routing]({stem}.png)",
        "",
        _table(
            ["figure", "value"],
            [
                ["module", f"`{result.top}`"],
                ["cells before layout", f"{result.cells_before}"],
                ["cell area before layout", f"{result.area_before:.0f} µm²"],
                ["cell area after layout, without fillers", f"{result.area_after:.0f} µm²"],
                ["growth in layout", f"{100 * (result.area_after / result.area_before - 1):+.1f} %"],
                ["core", f"{result.core[0]:.2f} x {result.core[1]:.2f} um"],
                ["die", f"{result.die[0]:.2f} x {result.die[1]:.2f} um"],
                ["utilisation of the core", f"{100 * result.utilisation:.1f} %"],
                ["pins on the border", f"{result.pins}"],
                ["wire length", f"{length / 1000:.2f} mm"],
                ["vias", f"{result.vias}"],
                ["design-rule violations of the routing", f"{result.violations}"],
                [f"timing at {result.clock_ns:g} ns", _verdict(result)],
                ["least setup slack", f"{result.setup_slack_ns:.3f} ns"],
                ["least hold slack", f"{result.hold_slack_ns:.3f} ns"],
                *(
                    [["clock skew", f"{result.skew_ns:.3f} ns"], ["clock latency", f"{result.latency_ns:.3f} ns"]]
                    if result.clocked
                    else [["clock", "none: no registers"]]
                ),
                ["pins beyond the slew or load limit", f"{result.electrical_violations}"],
                ["power", f"{1e3 * power:.3f} mW"],
            ],
        ),
        "## Cells after layout",
        "",
        _table(
            ["kind", "cells", "area, µm²"],
            [[kind, f"{result.cells[kind]}", f"{result.areas[kind]:.1f}"] for kind in CATEGORIES],
        ),
        "## Wires",
        "",
        _table(["layer", "length, um"], [[name, f"{value:.0f}"] for name, value in result.wire_length.items()]),
        "## Power",
        "",
        _table(
            ["cells", "internal, mW", "switching, mW", "leakage, mW", "total, mW"],
            [
                [group, *(f"{1e3 * part:.4f}" for part in parts), f"{1e3 * sum(parts):.4f}"]
                for group, parts in result.power.items()
            ],
        ),
        f"Activity: {result.activity or 'none recorded, defaults of the tool'}; {result.annotated_pins} pins with "
        f"recorded activity, {result.unannotated_pins} without (added cells, whose activity is propagated).",
        "",
        "## Conditions",
        "",
        *(f"- {note}" for note in notes),
        *(f"- {name}: {value}" for name, value in tools.items()),
        "",
    ]
    return "\n".join(lines)


def write_summary(results: Sequence[LayoutResult], output: Path) -> Path:
    """Write layout-summary.md: all layouts in one table."""
    rows = [
        [
            f"[{result.title}](layout-{result.name}.md)",
            f"{result.area_before:.0f}",
            f"{result.area_after:.0f}",
            f"{result.core[0] * result.core[1]:.0f}",
            f"{100 * result.utilisation:.1f}",
            f"{sum(result.wire_length.values()) / 1000:.2f}",
            f"{result.violations}",
            f"{result.setup_slack_ns:.3f}",
            f"{result.hold_slack_ns:.3f}",
            f"{result.skew_ns:.3f}" if result.clocked else "-",
            f"{1e3 * result.total_power:.3f}",
        ]
        for result in results
    ]
    head = ["block", "cells before, µm²", "after, µm²", "core, µm²", "utilisation, %", "wires, mm", "violations"]
    head += ["setup slack, ns", "hold slack, ns", "skew, ns", "power, mW"]
    text = [
        "# Layouts",
        "",
        "`make pnr`, explained in [docs/flows/layout.md](../flows/layout.md).",
        "",
        _table(head, rows),
    ]
    return write_text(output / "layout-summary.md", "\n".join(text))
