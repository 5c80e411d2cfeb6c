"""The report of the logic around the array: area and slack by block, and the memories that are left out."""

from __future__ import annotations

from pathlib import Path

from fineq.common.files import write_text
from fineq.common.markdown import table
from fineq_asic.clock import CLOCK_NS
from fineq_asic.flows.machine_blocks import EFFORT, GLUE, MEMORY_ACCESS_NS, MEMORY_SETUP_NS, BlocksReport


def as_markdown(report: BlocksReport) -> str:
    """The tables of docs/results/accelerator-blocks.md."""
    command = "fineq accelerator-blocks"
    command += "" if report.accelerator == "accelerator_64x64" else f" --accelerator {report.accelerator}"
    command += f" --block {report.block}" if report.block else ""
    command += "" if report.clock_ns == CLOCK_NS else f" --clock-ns {report.clock_ns:g}"
    rows: list[tuple[object, ...]] = [
        (
            row.name if row.name == GLUE else f"`{row.name}`",
            *(row.instances, f"{row.cells:,}", f"{row.area:,.0f}", f"{row.instances * row.area:,.0f}"),
            f"{row.slack_ns:.3f}",
        )
        for row in report.blocks
    ]
    cells, area = (sum(row.instances * getattr(row, what) for row in report.blocks) for what in ("cells", "area"))
    rows.append(("together", "", f"{cells:,}", "", f"{area:,.0f}", ""))
    lines = [
        f"# Logic of `{report.accelerator}` around its array",
        "",
        f"Made by `{command}`: mapped to FreePDK45 for {EFFORT} with the cells and constraints of the array's "
        "own report (docs/flows/synthesis.md), the blocks kept as modules. Slack is the least of all paths that end in "
        f"a block, those from other blocks included; the clock period is {report.clock_ns:g} ns. At the top, "
        f"{report.timing.verdict()}.",
        "",
        "The array is not mapped here, nor are the memories of the second table. In timing, memories give their data "
        f"{MEMORY_ACCESS_NS:g} ns after the clock edge and need their inputs {MEMORY_SETUP_NS:g} ns before it: an "
        "assumption, no macro was compiled, and the load of their pins is that of a flip-flop. Tables and queues are "
        "logic.",
        "",
        table(("block", "instances", "cells", "µm² each", "µm²", "worst slack, ns"), rows, "lr"),
    ]
    if report.memories:
        memories: list[tuple[object, ...]] = [
            (each.name, f"`{each.block}`", each.words, each.bits, f"{each.words * each.bits / 1024:,.1f}")
            for each in report.memories
        ]
        bits = sum(each.words * each.bits for each in report.memories)
        memories.append(("together", "", "", "", f"{bits / 1024:,.1f}"))
        lines.append(table(("memory", "in", "words", "bits per word", "kbit"), memories, "llr"))
    return "\n".join(lines)


def write_report(report: BlocksReport, directory: Path) -> Path:
    """Write accelerator-blocks.md, whole or not at all.

    Raises:
        OSError: the place cannot be written.
    """
    return write_text(directory / "accelerator-blocks.md", as_markdown(report))
