"""The layout flow of one block: files, dry check, run, results, GDS."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.files import write_text
from fineq_asic.errors import SynthesisError
from fineq_asic.layout.block import Block, write_flat_verilog
from fineq_asic.layout.dry_check import check_tcl
from fineq_asic.layout.results import LayoutResult, read_result
from fineq_asic.layout.routed import RoutedBlock, read_routed
from fineq_asic.layout.script import LayoutOptions, constraints_sdc, layout_script
from fineq_asic.layout.technology import Technology
from fineq_asic.layout.tool import openroad_version, run_openroad
from fineq_asic.library.liberty import Library

Progress = Callable[[str], None]


@dataclass(frozen=True)
class PreparedLayout:
    """A block whose files are written and whose script was checked.

    Attributes:
        name, title: in reports.
        block: what is laid out.
        options: floorplan and routing.
        work: directory with `netlist.v`, `constraints.sdc`, `layout.tcl` and perhaps `activity.saif`.
        script: the OpenROAD script.
        commands: how many commands script and constraints give; None: there was no Tcl to check them with.
        activity: where the activity comes from; empty: there is none.
    """

    name: str
    title: str
    block: Block
    options: LayoutOptions
    work: Path
    script: str
    commands: int | None
    activity: str

    def checked(self) -> str:
        """One sentence: what the dry check has looked at."""
        if self.commands is None:
            return "script written but not checked, because this Python comes without Tcl (tkinter)"
        return f"script of {self.commands} commands checked by a Tcl interpreter, without OpenROAD"


@dataclass(frozen=True)
class FinishedLayout:
    """A block that was laid out: its figures, its shapes, and the version of the program."""

    prepared: PreparedLayout
    result: LayoutResult
    routed: RoutedBlock
    openroad: str


def prepare(
    name: str,
    title: str,
    block: Block,
    technology: Technology,
    options: LayoutOptions,
    work: Path,
    activity: str = "",
) -> PreparedLayout:
    """Write all files of a run and check the script without OpenROAD.

    Args:
        name, title: of the block in reports.
        block: what is laid out.
        technology: the library.
        options: floorplan and routing.
        work: directory of the run; created.
        activity: source of the switching activity in `work/activity.saif`; empty: there is none.

    Raises:
        SynthesisError: a library file or the activity is missing, or the script has a mistake.
    """
    technology.check()
    options = _room_for_pins(block, technology, options)
    work.mkdir(parents=True, exist_ok=True)
    work = work.resolve()
    if activity and not (work / "activity.saif").is_file():
        raise SynthesisError(f"{name}: there is no file activity.saif with the activity of {activity}")
    write_flat_verilog(block, work / "netlist.v")
    sdc = constraints_sdc(block, options.constraints)
    write_text(work / "constraints.sdc", sdc)
    script = layout_script(block, technology, options, work, bool(activity))
    write_text(work / "layout.tcl", script)
    counts = [check_tcl(sdc, "constraints.sdc"), check_tcl(script, "layout.tcl")]
    commands = None if None in counts else sum(count or 0 for count in counts)
    return PreparedLayout(name, title, block, options, work, script, commands, activity)


def _room_for_pins(block: Block, technology: Technology, options: LayoutOptions) -> LayoutOptions:
    """The options with a utilisation at which all pins find a place on every second track of the border."""
    area = sum(width * height for width, height in (technology.cell_sizes[cell.kind] for cell in block.cells))
    layers = [technology.lef.layers[name] for pair in options.pin_layers for name in pair]
    side = block.pin_count / sum(1 / layer.pitch for layer in layers)
    return dataclasses.replace(options, utilisation=min(options.utilisation, float(int(100 * area / side**2))))


def lay_out(
    prepared: PreparedLayout, technology: Technology, library: Library, openroad: Path, progress: Progress
) -> FinishedLayout:
    """Run OpenROAD on a prepared block, read its results and write `routed.gds`.

    A run that has finished before with the same files and the same program is kept.

    Args:
        prepared: the block.
        technology, library: the cells.
        openroad: the program.
        progress: called with a line after each step.

    Raises:
        SynthesisError: OpenROAD fails or a result is missing.
    """
    work = prepared.work
    version = openroad_version(openroad)
    fingerprint = _fingerprint(prepared, technology, version)
    finished = work / "finished"
    if finished.is_file() and finished.read_text(encoding="utf-8") == fingerprint:
        progress(f"{prepared.name}: nothing has changed since the last run, its routing is kept")
        output = (work / "openroad.log").read_text(encoding="utf-8", errors="replace")
    else:
        finished.unlink(missing_ok=True)
        output = run_openroad(openroad, prepared.script, work, prepared.options.threads, progress)
        write_text(finished, fingerprint)
    routed = read_routed(work / "routed.def", technology)
    result = read_result(
        prepared.name,
        prepared.title,
        prepared.block,
        routed,
        output,
        work / "drc.rpt",
        library,
        prepared.options.constraints.clock_ns,
        prepared.activity,
    )
    routed.write_gds(work / "routed.gds")
    return FinishedLayout(prepared, result, routed, version)


def _fingerprint(prepared: PreparedLayout, technology: Technology, version: str) -> str:
    """A digest of all that decides the result of a run: input files, library, the program, our own code."""
    script = prepared.script.replace(str(prepared.work), "")
    files = [prepared.work / name for name in ("netlist.v", "constraints.sdc", "activity.saif")]
    inputs = [version, script, technology.checksums()]
    return cache_key(__name__, inputs=inputs, files=[file for file in files if file.is_file()]) + "\n"


def with_utilisation(options: LayoutOptions, utilisation: float) -> LayoutOptions:
    """The same options at another utilisation.

    Raises:
        SynthesisError: it is not between 10 and 95 percent.
    """
    if not 10 <= utilisation <= 95:
        raise SynthesisError(f"the utilisation is {utilisation:g} %: choose between 10 and 95")
    return dataclasses.replace(options, utilisation=utilisation)
