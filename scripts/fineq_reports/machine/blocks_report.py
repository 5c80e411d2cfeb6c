"""The report of the logic around the array: area and slack by block, and the memories that are left out."""

from __future__ import annotations

from pathlib import Path

from fineq.common.files import write_text
from fineq_asic.flows.machine_blocks import EFFORT, GLUE, MEMORY_ACCESS_NS, MEMORY_SETUP_NS, BlocksReport


def as_markdown(report: BlocksReport) -> str:
    """The tables of docs/results/accelerator-blocks.md."""
    command = "fineq accelerator-blocks"
    command += "" if report.accelerator == "accelerator_64x64" else f" --accelerator {report.accelerator}"
    command += f" --block {report.block}" if report.block else ""
    command += "" if report.clock_ns == 2.5 else f" --clock-ns {report.clock_ns:g}"
    total = sum(row.instances * row.area for row in report.blocks)
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
        "| block | instances | cells | um2 each | um2 | worst slack, ns |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in report.blocks:
        name = row.name if row.name == GLUE else f"`{row.name}`"
        lines.append(
            f"| {name} | {row.instances} | {row.cells:,} | {row.area:,.0f} | {row.instances * row.area:,.0f} | "
            f"{row.slack_ns:.3f} |"
        )
    lines += [f"| together | | {sum(r.instances * r.cells for r in report.blocks):,} | | {total:,.0f} | |", ""]
    if report.memories:
        lines += ["| memory | in | words | bits a word | kbit |", "|---|---|--:|--:|--:|"]
        for each in report.memories:
            size = each.words * each.bits / 1024
            lines.append(f"| {each.name} | `{each.block}` | {each.words} | {each.bits} | {size:,.1f} |")
        bits = sum(each.words * each.bits for each in report.memories)
        lines += [f"| together | | | | {bits / 1024:,.1f} |", ""]
    return "\n".join(lines[:-1]) + "\n"


def write_report(report: BlocksReport, directory: Path) -> Path:
    """Write accelerator-blocks.md, whole or not at all.

    Raises:
        OSError: the place cannot be written.
    """
    return write_text(directory / "accelerator-blocks.md", as_markdown(report))
