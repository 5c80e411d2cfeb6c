"""The power engine beside another tool's `report_power`, on the same netlist and the same activity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fineq.common.markdown import table
from fineq_asic.activity.switching import Activity, write_saif
from fineq_asic.activity.workload import DataSet
from fineq_asic.flows.other_power_tools import find_power_tools, report_power
from fineq_asic.flows.synthesis import power_options, record
from fineq_asic.library.liberty import Library
from fineq_asic.mapping.blocks import attribute_blocks
from fineq_asic.mapping.closure import Mapped, Progress, Tools, map_and_close
from fineq_asic.mapping.designs import CoreDesign, designs_of
from fineq_asic.netlist.flat import flatten, named_cells
from fineq_asic.netlist.netlist import Netlist
from fineq_asic.netlist.parts import find_module, nets_in_whole
from fineq_asic.netlist.verilog import write_verilog
from fineq_asic.power.liberty_power import PowerEngine, total_power
from fineq_asic.timing.opensta import Constraints, sta_version
from fineq_hw.array.processing_array import ArrayRow
from fineq_hw.baseline.mac_array import MacRow
from fineq_hw.config import ArrayConfig, MacConfig

LIMIT = 0.03
"""Largest difference, as a share of the other tool's figure, with states taken as it takes them."""

WHOLE_SIZE = "16x16"
ROW_SIZE = "64x64"


@dataclass(frozen=True)
class Comparison:
    """One netlist.

    Attributes:
        title: what it is.
        cells: number of cells.
        theirs: W by tool.
        same_states: W by our engine with register states as the other tool takes them.
        ours: W by our engine as in all reports.
    """

    title: str
    cells: int
    theirs: dict[str, float]
    same_states: float
    ours: float

    def difference(self, tool: str) -> float:
        """Of `same_states`, as a share of the tool's figure."""
        return self.same_states / self.theirs[tool] - 1


def compare(
    mapped: Mapped, data: DataSet, tools: Tools, constraints: Constraints, work: Path, row_only: bool = False
) -> Comparison:
    """Power of a design by every tool that is there.

    Args:
        mapped: the design.
        data: for the gate-level run that both engines take the activity from.
        tools: library.
        constraints: clock and environment.
        work: directory for the files between the tools.
        row_only: only the first row of the core, with the activity that its column drivers give it.
    """
    library, design = tools.library, mapped.design
    netlist: Netlist = mapped.first_row(library) if row_only else mapped.netlist
    flat = flatten(netlist, library, attribute_blocks(netlist, library, mapped.manifest))
    activity = record(design, flat, data, rows=[0] if row_only else None).recorded
    if row_only:
        row = ArrayRow.KIND if isinstance(design.config, ArrayConfig) else MacRow.KIND
        netlist, activity = cut_out(netlist, activity, library, find_module(netlist, mapped.manifest, row))
        flat = flatten(netlist, library)
    verilog, saif = work / "power.v", work / "power.saif"
    write_verilog(netlist, verilog)
    write_saif(activity, named_cells(netlist, library), netlist.top, constraints.clock_ns, saif)
    theirs = {
        name: report_power(tool, netlist, verilog, saif, constraints, tools.pdk, work)
        for name, tool in find_power_tools().items()
    }
    ours, same = (
        total_power(
            PowerEngine(flat, library, tools.wire_load, power_options(constraints, independent)).evaluate(activity)
        ).total
        for independent in (False, True)
    )
    title = f"one row of {design.config.columns}: {design.title}" if row_only else f"{WHOLE_SIZE}: {design.title}"
    return Comparison(title, sum(len(group) for group in flat.groups.values()), theirs, same, ours)


def cut_out(netlist: Netlist, activity: Activity, library: Library, module: str) -> tuple[Netlist, Activity]:
    """The first copy of a module as a netlist of its own, with the activity that it has in its place.

    Raises:
        SynthesisError: the netlist has no such module.
    """
    nets = nets_in_whole(module, netlist, library)
    part = Netlist(module, netlist.modules)
    outer = np.array([nets.get(net, 0) for net in range(flatten(part, library).nets)])
    return part, Activity(activity.toggles[outer], activity.high[outer], activity.cycles, activity.source)


def chosen_designs() -> list[tuple[CoreDesign, bool]]:
    """Designs to compare, and whether only their first row: smallest storage and flip-flops, FineQ and 3-bit MAC."""

    def first(size: str, fineq: bool, storage: str) -> CoreDesign | None:
        for design in designs_of(size):
            config = design.config
            wanted = (
                isinstance(config, ArrayConfig) if fineq else isinstance(config, MacConfig) and config.weight_bits == 3
            )
            if wanted and config.activation_storage == storage:
                return design
        return None

    wanted = [(WHOLE_SIZE, fineq, storage, False) for fineq in (True, False) for storage in ("gated-flop", "latch")]
    wanted += [(ROW_SIZE, fineq, "latch", True) for fineq in (True, False)]
    found = [(first(size, fineq, storage), row) for size, fineq, storage, row in wanted]
    return [(design, row) for design, row in found if design is not None]


def compare_all(
    chosen: Sequence[tuple[CoreDesign, bool]],
    data: DataSet,
    tools: Tools,
    work: Path,
    progress: Progress,
    cache: Path | None,
) -> list[Comparison]:
    """All comparisons, each with its own folder in `work`."""
    constraints = Constraints()
    found = []
    for design, row_only in chosen:
        folder = work / design.top
        mapped = map_and_close(design, tools, constraints, folder, progress, cache)
        found.append(compare(mapped, data, tools, constraints, folder, row_only))
        progress(f"{found[-1].title}: {found[-1].ours * 1e3:.2f} mW")
    return found


def markdown(comparisons: Sequence[Comparison], data: DataSet, versions: dict[str, str], command: str) -> str:
    """The table, with what the largest difference is."""
    tool_names = sorted({name for comparison in comparisons for name in comparison.theirs})
    header = ["netlist", "cells", *(f"{n}, mW" for n in tool_names), "ours, its states, mW"]
    header += [*(f"difference from {n}" for n in tool_names), "ours, exact states, mW"]
    rows = []
    for c in comparisons:
        row = [c.title, str(c.cells), *(f"{c.theirs[n] * 1e3:.3f}" for n in tool_names), f"{c.same_states * 1e3:.3f}"]
        rows.append(row + [*(f"{100 * c.difference(n):+.2f} %" for n in tool_names), f"{c.ours * 1e3:.3f}"])
    worst = max(abs(c.difference(n)) for c in comparisons for n in tool_names)
    verdict = "met" if worst <= LIMIT else "**not met**"
    return "\n".join(
        [
            "# Power engine beside another tool\n",
            f"Made by `{command}`. Same netlist, same activity (SAIF), same clock. Activity: {data.source}. "
            "docs/flows/synthesis.md says what the two columns of ours differ in.\n",
            table(header, rows, "lr"),
            f"Largest difference {100 * worst:.2f} %; asked for: at most {100 * LIMIT:g} %, {verdict}.\n",
            table(["tool", "version"], versions.items(), "lr"),
        ]
    )


def tool_versions() -> dict[str, str]:
    """Versions of the tools that `compare` asks."""
    return {f"{name} (power)": sta_version(tool) for name, tool in find_power_tools().items()}
