"""Lays out blocks with OpenROAD: floorplan to routed GDS, with timing, area and power after routing.

    fineq pnr --design row-64 --output build/pnr
    fineq pnr --design row-64 --dry-run

Writes layout-<name>.md, .json and .png; scripts, logs, DEF, GDS and SPEF stay in <output>/<name>. A dry run
needs no OpenROAD: it writes the whole script and has a Tcl interpreter go through it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fineq_asic.clock import CLOCK_NS

if TYPE_CHECKING:
    from fineq_asic.activity.workload import DataSet
    from fineq_asic.layout.flow import PreparedLayout
    from fineq_asic.layout.script import LayoutOptions
    from fineq_asic.layout.targets import Target
    from fineq_asic.layout.technology import Technology
    from fineq_asic.mapping.closure import Tools


def pnr(
    design: Annotated[
        list[str] | None,
        typer.Option(help="block of docs/flows/layout.md (may be repeated); default: all published"),
    ] = None,
    output: Annotated[Path, typer.Option(help="directory for reports and work files")] = Path("build/pnr"),
    clock_ns: Annotated[float, typer.Option(help="clock period in ns")] = CLOCK_NS,
    utilisation: Annotated[float, typer.Option(help="cell area over core area at the start, percent")] = 70.0,
    threads: Annotated[int, typer.Option(help="threads of OpenROAD")] = 2,
    model: Annotated[Path | None, typer.Option(help="model whose weights and activations give the activity")] = None,
    cache: Annotated[Path | None, typer.Option(help="directory that keeps mapped netlists by their content")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="write and check the scripts, run nothing")] = False,
    strict: Annotated[bool, typer.Option(help="exit with 1 if a layout misses the clock or has violations")] = False,
) -> None:
    """Layouts of the array row, the decoders, the 16x16 array and the MAC baseline."""
    import torch

    from fineq_asic.activity.workload import default_data
    from fineq_asic.layout.flow import lay_out, with_utilisation
    from fineq_asic.layout.script import LayoutOptions
    from fineq_asic.layout.targets import TARGETS, find_target
    from fineq_asic.layout.technology import Technology
    from fineq_asic.layout.tool import find_openroad
    from fineq_asic.mapping.closure import find_tools
    from fineq_asic.timing.opensta import Constraints
    from fineq_reports.layout.publish import publish_layout
    from fineq_reports.layout.report import read_layout_report, write_summary

    torch.set_num_threads(1)
    names = design or [name for name, target in TARGETS.items() if target.published]
    targets = {name: find_target(name) for name in names}
    openroad = None if dry_run else find_openroad()
    tools = find_tools()
    technology = Technology(tools.pdk)
    options = with_utilisation(LayoutOptions(Constraints(clock_ns), threads=threads), utilisation)
    data = None if dry_run else default_data(model)
    for name, target in targets.items():
        prepared = _prepare(name, target, tools, technology, options, data, output / name, cache)
        typer.echo(f"{name}: {len(prepared.block.cells)} cells, {prepared.checked()}")
        if openroad is not None:
            finished = lay_out(prepared, technology, tools.library, openroad, typer.echo)
            publish_layout(finished, technology, tools.library, output, typer.echo)
    results = [read_layout_report(output / f"layout-{name}.json") for name in names] if openroad else []
    if len(results) > 1:
        typer.echo(f"wrote {write_summary(results, output)}")
    failed = [result for result in results if not result.met or result.violations]
    for result in failed:
        typer.echo(
            f"not clean: {result.name}: setup slack {result.setup_slack_ns:.3f} ns, hold slack "
            f"{result.hold_slack_ns:.3f} ns, {result.violations} violations",
            err=True,
        )
    if failed and strict:
        raise typer.Exit(1)


def _prepare(
    name: str,
    target: Target,
    tools: Tools,
    technology: Technology,
    options: LayoutOptions,
    data: DataSet | None,
    work: Path,
    cache: Path | None,
) -> PreparedLayout:
    """Netlist, activity and script of one layout."""
    from fineq_asic.flows.synthesis import record
    from fineq_asic.layout.block import make_block
    from fineq_asic.layout.flow import prepare
    from fineq_asic.layout.saif import nets_in_core, write_block_saif
    from fineq_asic.mapping.closure import map_and_close
    from fineq_asic.netlist.flat import flatten
    from fineq_asic.netlist.parts import find_module

    design = target.design()
    mapped = map_and_close(design, tools, options.constraints, work / "netlist", typer.echo, cache)
    module = None if target.part is None else find_module(mapped.netlist, mapped.manifest, target.part)
    block = make_block(mapped.netlist, tools.library, module, options.constraints.clock_port)
    if data is not None:
        run = record(design, flatten(mapped.netlist, tools.library), data)
        assert run.activity is not None  # it had data
        nets = nets_in_core(block, mapped.netlist, tools.library)
        write_block_saif(block, nets, run.activity, options.constraints.clock_ns, work / "activity.saif")
    return prepare(name, target.title, block, technology, options, work, data.source if data else "")
