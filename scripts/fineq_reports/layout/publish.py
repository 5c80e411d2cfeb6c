"""Writes what is published of a finished layout: its page, its figures and its picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fineq_asic.layout.flow import FinishedLayout
from fineq_asic.layout.results import categories
from fineq_asic.layout.script import LayoutOptions
from fineq_asic.layout.technology import NEIGHBOUR_SHARE, RELATIVE_PERMITTIVITY, Technology
from fineq_asic.library.liberty import Library
from fineq_reports.layout.picture import draw_layout
from fineq_reports.layout.report import write_layout_report


def publish_layout(
    finished: FinishedLayout,
    technology: Technology,
    library: Library,
    output: Path,
    progress: Callable[[str], None],
) -> None:
    """Write layout-<name>.md, .json and .png.

    Args:
        finished: the layout.
        technology, library: the cells.
        output: directory; created.
        progress: called with a line for each file.
    """
    prepared, result = finished.prepared, finished.result
    output.mkdir(parents=True, exist_ok=True)
    draw_layout(
        finished.routed,
        f"{prepared.title.replace('`', '')}: {result.area_after:,.0f} µm² of cells, "
        f"{sum(result.wire_length.values()) / 1000:.1f} mm of wires, {result.violations} violations",
        categories(prepared.block, finished.routed, library),
        output / f"layout-{prepared.name}.png",
    )
    tools = {"OpenROAD": finished.openroad, "library": f"{library.name} from {technology.pdk.origin}"}
    tools |= {f"sha256 of {name}": value for name, value in technology.checksums().items()}
    for path in write_layout_report(result, tools, conditions(technology, prepared.options), output):
        progress(f"wrote {path}")


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
