"""The layout flow of one block: files, dry check, run, results, GDS, picture, report."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fineq_asic.errors import SynthesisError
from fineq_asic.layout.block import Block, write_flat_verilog
from fineq_asic.layout.check import check_script
from fineq_asic.layout.def_file import read_def
from fineq_asic.layout.gds import write_gds
from fineq_asic.layout.results import LayoutResult, category, read_result
from fineq_asic.layout.script import LayoutOptions, constraints_sdc, layout_script
from fineq_asic.layout.technology import NEIGHBOUR_SHARE, RELATIVE_PERMITTIVITY, Technology
from fineq_asic.layout.tool import openroad_version, run_openroad
from fineq_asic.library.liberty import Library
from fineq_reports.layout.picture import draw_layout
from fineq_reports.layout.report import write_layout_report

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """A block whose files are written and whose script was checked.

    Attributes:
        name, title: in reports.
        block: what is laid out.
        options: floorplan and routing.
        work: directory with `netlist.v`, `constraints.sdc`, `layout.tcl` and perhaps `activity.saif`.
        script: the OpenROAD script.
        commands: how many commands it has.
        activity: where the activity comes from; empty: there is none.
    """

    name: str
    title: str
    block: Block
    options: LayoutOptions
    work: Path
    script: str
    commands: int
    activity: str


def prepare(
    name: str,
    title: str,
    block: Block,
    technology: Technology,
    options: LayoutOptions,
    work: Path,
    activity: str = "",
) -> Prepared:
    """Write all files of a run and check the script without OpenROAD.

    Args:
        name, title: of the block in reports.
        block: what is laid out.
        technology: the library.
        options: floorplan and routing.
        work: directory of the run; created.
        activity: source of the switching activity in `work/activity.saif`; empty: there is none.

    Raises:
        SynthesisError: a library file is missing, or the script has a mistake.
    """
    technology.check()
    options = _room_for_pins(block, technology, options)
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SynthesisError(f"cannot write to {work}: {error.strerror}") from None
    work = work.resolve()
    write_flat_verilog(block, work / "netlist.v")
    sdc = constraints_sdc(block, options.constraints)
    (work / "constraints.sdc").write_text(sdc, encoding="utf-8")
    script = layout_script(block, technology, options, work, bool(activity))
    (work / "layout.tcl").write_text(script, encoding="utf-8")
    commands = check_script(sdc, technology.lef, work) + check_script(script, technology.lef, work)
    return Prepared(name, title, block, options, work, script, commands, activity)


def _room_for_pins(block: Block, technology: Technology, options: LayoutOptions) -> LayoutOptions:
    """The options with a utilisation at which all pins find a place on every second track of the border."""
    area = sum(m.width * m.height for m in (technology.lef.macros[cell.kind] for cell in block.cells))
    layers = [technology.lef.layers[name] for pair in options.pin_layers for name in pair]
    side = block.pin_count / sum(1 / layer.pitch for layer in layers)
    return dataclasses.replace(options, utilisation=min(options.utilisation, float(int(100 * area / side**2))))


def lay_out(
    prepared: Prepared, technology: Technology, library: Library, openroad: Path, output: Path, progress: Progress
) -> LayoutResult:
    """Run OpenROAD on a prepared block and write GDS, picture and report.

    A run that has finished before with the same files and the same program is kept.

    Args:
        prepared: the block.
        technology, library: the cells.
        openroad: the program.
        output: directory for the report; created.
        progress: called with a line after each step.

    Raises:
        SynthesisError: OpenROAD fails or a result is missing.
    """
    work, options = prepared.work, prepared.options
    version = openroad_version(openroad)
    fingerprint = _fingerprint(prepared, version)
    finished = work / "finished"
    if finished.is_file() and finished.read_text(encoding="utf-8") == fingerprint:
        progress(f"{prepared.name}: nothing has changed since the last run, its routing is kept")
        text = (work / "openroad.log").read_text(encoding="utf-8", errors="replace")
    else:
        finished.unlink(missing_ok=True)
        text = run_openroad(openroad, prepared.script, work, options.threads, progress)
        finished.write_text(fingerprint, encoding="utf-8")
    layout = read_def(work / "routed.def", technology.lef)
    result = read_result(
        prepared.name,
        prepared.title,
        prepared.block,
        layout,
        text,
        work / "drc.rpt",
        library,
        options.constraints.clock_ns,
        prepared.activity,
    )
    write_gds(layout, technology.lef, technology.cell_gds, prepared.block.top, work / "routed.gds")
    output.mkdir(parents=True, exist_ok=True)
    original = {cell.name for cell in prepared.block.cells}
    draw_layout(
        layout,
        technology.lef,
        f"{prepared.title}: {result.area_after:.0f} um2 of cells, {sum(result.wire_length.values()) / 1000:.1f} mm "
        f"of wires, {result.violations} violations",
        lambda name, kind: category(name, kind, original, library),
        output / f"layout-{prepared.name}.png",
    )
    tools = {"OpenROAD": version, "library": f"{library.name} from {technology.pdk.origin}"}
    tools |= {f"sha256 of {name}": value for name, value in technology.checksums().items()}
    for path in write_layout_report(result, tools, conditions(technology, options), output):
        progress(f"wrote {path}")
    return result


def _fingerprint(prepared: Prepared, version: str) -> str:
    """A digest of everything that decides the result of a run: all input files and the program."""
    digest = hashlib.sha256(version.encode())
    digest.update(prepared.script.replace(str(prepared.work), "").encode())
    for name in ("netlist.v", "constraints.sdc", "activity.saif"):
        file = prepared.work / name
        digest.update(name.encode() + (file.read_bytes() if file.is_file() else b""))
    return digest.hexdigest() + "\n"


def conditions(technology: Technology, options: LayoutOptions) -> list[str]:
    """What a reader must know of a layout, one line each."""
    constraints = options.constraints
    antennas = any(layer.antenna_rules for layer in technology.lef.routing_layers)
    return [
        f"clock {constraints.clock_ns:g} ns; inputs {constraints.input_delay_ns:g} ns after the clock, outputs "
        f"{constraints.output_delay_ns:g} ns before it, at neighbours with the clock latency of the block",
        f"target utilisation {options.utilisation:g} %; signals on {' to '.join(options.signal_layers)}, clock on "
        f"{' to '.join(options.clock_layers)}; power straps on metal4 and metal7 every {options.strap_pitch_um:g} um",
        "wire resistance and capacitance to other layers from the technology LEF; capacitance to neighbours on the "
        f"same layer estimated: parallel plates at the least spacing, permittivity {RELATIVE_PERMITTIVITY:g}, for "
        f"{100 * NEIGHBOUR_SHARE:g} % of the length",
        "antenna rules checked" if antennas else "antennas not checked: the technology LEF has no antenna rules",
        "typical corner only, 1.1 V, 25 C; no glitches in the activity",
    ]


def with_utilisation(options: LayoutOptions, utilisation: float) -> LayoutOptions:
    """The same options at another utilisation.

    Raises:
        SynthesisError: it is not between 10 and 95 percent.
    """
    if not 10 <= utilisation <= 95:
        raise SynthesisError(f"the utilisation is {utilisation:g} %: choose between 10 and 95")
    return dataclasses.replace(options, utilisation=utilisation)
