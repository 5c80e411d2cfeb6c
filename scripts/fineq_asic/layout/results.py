"""What a finished layout run tells: areas, wires, timing, violations, power."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fineq_asic.errors import SynthesisError
from fineq_asic.layout.block import Block
from fineq_asic.layout.routed import PIN, RoutedBlock
from fineq_asic.layout.script import MARK
from fineq_asic.library.liberty import Cell, Library
from fineq_asic.library.recognition import carries_clock, is_adder, is_tie

CATEGORIES = (
    "full and half adders",
    "other logic",
    "registers and clock gates",
    "tie cells",
    "clock tree",
    "added buffers",
    "fillers",
)
"""Kinds of cells in the order of the tables. The last three come with the layout."""


@dataclass(frozen=True)
class LayoutResult:
    """Figures of one routed block.

    Attributes:
        name, title, top: which one.
        clock_ns: clock period that was asked for.
        clocked: whether the block has registers.
        cells_before, area_before: mapped netlist, area in um^2.
        cells, areas: after layout by category, fillers included; area in um^2.
        die, core: width and height in um.
        pins: on the border.
        wire_length: of signals and clock in um by layer.
        vias: of signals and clock.
        violations: design-rule violations of the routing.
        setup_slack_ns, hold_slack_ns: least slack with extracted wires and the real clock tree; setup at flip-flops,
            clock gates and outputs, with the time that latches on the way have borrowed.
        path: worst setup path, pins with cells.
        skew_ns, latency_ns: of the clock tree; zero without a clock.
        electrical_violations: pins beyond the slew or capacitance that the library allows.
        power: watts by group of cells: internal, switching and leakage.
        annotated_pins, unannotated_pins: pins with and without recorded activity.
        activity: where the activity comes from; empty: the tool's defaults.
    """

    name: str
    title: str
    top: str
    clock_ns: float
    clocked: bool
    cells_before: int
    area_before: float
    cells: dict[str, int]
    areas: dict[str, float]
    die: tuple[float, float]
    core: tuple[float, float]
    pins: int
    wire_length: dict[str, float]
    vias: int
    violations: int
    setup_slack_ns: float
    hold_slack_ns: float
    path: tuple[str, ...]
    skew_ns: float
    latency_ns: float
    electrical_violations: int
    power: dict[str, tuple[float, float, float]]
    annotated_pins: int
    unannotated_pins: int
    activity: str

    @property
    def area_after(self) -> float:
        """Cells without fillers, in um^2."""
        return sum(area for kind, area in self.areas.items() if kind != "fillers")

    @property
    def utilisation(self) -> float:
        """Share of the core that cells cover, fillers aside."""
        return self.area_after / (self.core[0] * self.core[1])

    @property
    def total_power(self) -> float:
        return sum(sum(parts) for parts in self.power.values())

    @property
    def met(self) -> bool:
        """Setup and hold are met."""
        return self.setup_slack_ns >= 0 and self.hold_slack_ns >= 0


def sections(output: str) -> dict[str, str]:
    """Parts of the output by the name of the mark before them."""
    parts = re.split(rf"^{MARK} (.*)$", output, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def categories(block: Block, layout: RoutedBlock, library: Library) -> dict[str, str]:
    """Category of every placed cell by its name.

    Args:
        block: what was laid out: cells that are not in it came with the layout.
        layout: the routed DEF.
        library: the cells.

    Raises:
        SynthesisError: a cell came with the layout and is none of what a layout adds.
    """
    original = {cell.name for cell in block.cells}
    in_clock_tree = _clock_tree(block, layout, library)
    by_function = {kind: _by_function(library.cell(kind)) for kind in {cell.kind for cell in layout.cells}}
    result = {}
    for cell in layout.cells:
        found = by_function[cell.kind]
        if cell.name not in original and found not in ("fillers", "tie cells"):
            if cell.name in in_clock_tree:
                found = "clock tree"
            elif found == "other logic":  # also copies of gates, which repair the timing as buffers do
                found = "added buffers"
            else:
                raise SynthesisError(f"routed.def has a {cell.kind} {cell.name} that the netlist has not")
        result[cell.name] = found
    return result


def _by_function(cell: Cell) -> str:
    """Category of a cell of the mapped netlist."""
    if not cell.pins:
        return "fillers"
    if is_tie(cell):
        return "tie cells"
    if cell.register is not None or cell.clock_gate:
        return "registers and clock gates"
    return "full and half adders" if is_adder(cell) else "other logic"


def _clock_tree(block: Block, layout: RoutedBlock, library: Library) -> set[str]:
    """Names of the cells that the clock of the block passes on its way to the registers, or that only load it."""
    kinds = {cell.name: library.cell(cell.kind) for cell in layout.cells}
    nets: dict[tuple[str, str | None], str] = {pin: net for net, pins in layout.nets.items() for pin in pins}
    found: set[str] = set()
    source = nets.get((PIN, block.clock))
    waiting = [] if source is None else [source]
    while waiting:
        for name, pin in layout.nets[waiting.pop()]:
            if name in kinds and name not in found and carries_clock(kinds[name], pin):
                found.add(name)
                driven = nets.get((name, kinds[name].outputs[0].name))
                waiting += [driven] if driven is not None else []
    return found


def read_result(
    name: str,
    title: str,
    block: Block,
    layout: RoutedBlock,
    output: str,
    drc: Path,
    library: Library,
    clock_ns: float,
    activity: str,
) -> LayoutResult:
    """Collect the figures of a run.

    Args:
        name, title: of the block in reports.
        block: what was laid out.
        layout: the routed DEF.
        output: what OpenROAD printed.
        drc: its list of violations.
        library: the cells.
        clock_ns: clock period.
        activity: source of the activity, empty if there was none.

    Raises:
        SynthesisError: a figure is missing in the output.
    """
    parts = sections(output)
    _compare_wires(layout.wire_length, parts["routing"])
    category = categories(block, layout, library)
    cells = dict.fromkeys(CATEGORIES, 0)
    areas = dict.fromkeys(CATEGORIES, 0.0)
    for cell in layout.cells:
        kind = category[cell.name]
        cells[kind] += 1
        areas[kind] += library.cell(cell.kind).area
    slack = _slack(parts["worst slack"])
    setup_slack, path = _setup(slack["max"], parts["setup path"])
    skew, latency = _clock(parts) if block.clock else (0.0, 0.0)
    annotated, unannotated = _annotation(parts["activity"])
    return LayoutResult(
        name=name,
        title=title,
        top=block.top,
        clock_ns=clock_ns,
        clocked=block.clock is not None,
        cells_before=len(block.cells),
        area_before=block.area(library),
        cells=cells,
        areas={kind: round(area, 3) for kind, area in areas.items()},
        die=_size(layout.die),
        core=_size(layout.core),
        pins=block.pin_count,
        wire_length={layer: round(length, 1) for layer, length in layout.wire_length.items()},
        vias=layout.signal_vias,
        violations=count_violations(drc),
        setup_slack_ns=setup_slack,
        hold_slack_ns=slack["min"],
        path=path,
        skew_ns=skew,
        latency_ns=latency,
        electrical_violations=len(re.findall(r"\(VIOLATED\)", parts["electrical violations"])),
        power=_power(parts["power"]),
        annotated_pins=annotated,
        unannotated_pins=unannotated,
        activity=activity,
    )


def _compare_wires(lengths: dict[str, float], routing: str) -> None:
    """Raise `SynthesisError` unless the wires of the DEF are as long on each layer as the router says."""
    told = re.findall(r"^Total wire length on LAYER (\w+) = (\d+) um", routing, re.MULTILINE)
    if not told:
        raise SynthesisError("the layout run reports no wire length: see openroad.log")
    for layer, length in dict(told).items():  # the last report counts
        if abs(lengths.get(layer, 0.0) - float(length)) > 2 + 0.002 * float(length):
            raise SynthesisError(
                f"routed.def has {lengths.get(layer, 0.0):.0f} um of wire on {layer}, the router says {length}: it was "
                "read wrongly or belongs to another run"
            )


def count_violations(path: Path) -> int:
    """Violations in the list that the router has written; an empty list is none."""
    if not path.is_file():
        raise SynthesisError(f"there is no {path.name}: the routing did not finish")
    return len(re.findall(r"^\s*violation type:", path.read_text(encoding="utf-8"), re.MULTILINE))


def _size(area: tuple[float, float, float, float]) -> tuple[float, float]:
    return round(area[2] - area[0], 3), round(area[3] - area[1], 3)


def _slack(text: str) -> dict[str, float]:
    found = dict(re.findall(r"worst slack (max|min) (-?[\d.]+|INF)", text))
    if set(found) != {"max", "min"}:
        raise SynthesisError("the layout run reports no slack: see openroad.log")
    return {kind: float(value.replace("INF", "inf")) for kind, value in found.items()}


def _setup(worst: float, text: str) -> tuple[float, tuple[str, ...]]:
    """Least slack of the reported paths and the pins of that path.

    The report ends at no latch (see `script`); `worst` does, and counts if a latch gets its data too late.
    """
    found = re.findall(r"(.*?)^ +(-?[\d.]+)  +slack", text, re.MULTILINE | re.DOTALL)
    if not found:
        raise SynthesisError("the layout run reports no setup path: see openroad.log")
    path, slack = min(found, key=lambda entry: float(entry[1]))
    pins = tuple(re.findall(r"[\^v] (\S+ \(\w+\))", path))
    return float(slack) if worst >= 0 else min(worst, float(slack)), pins


def _clock(parts: dict[str, str]) -> tuple[float, float]:
    skew = re.search(r"(-?[\d.]+) setup skew", parts["clock skew"])
    latency = re.search(r"[\d.]+ +([\d.]+) latency", parts["clock latency"])
    if skew is None or latency is None:
        raise SynthesisError("the layout run reports no clock skew: see openroad.log")
    return abs(float(skew.group(1))), float(latency.group(1))


def _annotation(text: str) -> tuple[int, int]:
    counts = {kind: int(count) for kind, count in re.findall(r"^(vcd|saif|input|unannotated) +(\d+)$", text, re.M)}
    return sum(count for kind, count in counts.items() if kind != "unannotated"), counts.get("unannotated", 0)


def _power(text: str) -> dict[str, tuple[float, float, float]]:
    rows = re.findall(r"^(\w+) +([\d.e+-]+) +([\d.e+-]+) +([\d.e+-]+) +[\d.e+-]+ +[\d.]+%", text, re.MULTILINE)
    groups = {
        name.lower(): (float(internal), float(switching), float(leakage))
        for name, internal, switching, leakage in rows
        if name != "Total"
    }
    used = {name: values for name, values in groups.items() if any(values)}
    if not used:
        raise SynthesisError("the layout run reports no power: see openroad.log")
    return used
