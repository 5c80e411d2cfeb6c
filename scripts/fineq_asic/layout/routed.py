"""A routed block: its DEF read and its GDS written by KLayout, and what the reports need to know of it.

KLayout draws wires and vias as the LEF and DEF say and takes the polygons of the cells from the library's GDS.
It does not say how long wires are, nor to which nets vias belong: lengths are those of the paths that it draws, and
the vias of signals are those that are left once the special nets, which are the supplies, are taken out of the DEF.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import klayout.db as kdb
from klayout.tl import Logger

from fineq.common.files import replacing
from fineq_asic.errors import SynthesisError
from fineq_asic.layout.technology import Technology

Rectangle = tuple[float, float, float, float]
"""x0, y0, x1, y1 in um."""

DATABASE_UNIT_UM = 1e-4
"""Of the library's GDS, and finer than any DEF grid."""

PIN = "PIN"
"""Stands in a DEF for the block itself, in the place of a cell."""

LABEL_TEXTTYPE = 0
_SUPPLY_DATATYPE = 1  # only while a layout is read: keeps the supplies apart
_OUTLINE = kdb.LayerInfo(0, 0)
_INSTANCE_NAME, _NET_NAME = 1, 2  # keys of KLayout's properties
_QUIET = -10


@dataclass(frozen=True)
class PlacedCell:
    """A placed cell: instance name, kind and outline in um."""

    name: str
    kind: str
    area: Rectangle


@dataclass(frozen=True)
class BorderPin:
    """A signal pin of the block: where it is in um and on which layer."""

    name: str
    layer: str
    x: float
    y: float


@dataclass(frozen=True)
class RoutedBlock:
    """A routed block.

    Attributes:
        die, core: outlines of the block and of all rows of cells.
        cells, pins: what is in it.
        signal_wires, supply_wires: outlines in um by routing layer; signals include the clock.
        wire_length: length of signal wires in um by layer.
        signal_vias: vias of signals.
        nets: what every signal net and the clock connect: cells with their pins, `PIN` with the block's own.
        database: all its polygons, as they go into the GDS.
    """

    die: Rectangle
    core: Rectangle
    cells: tuple[PlacedCell, ...]
    pins: tuple[BorderPin, ...]
    signal_wires: dict[str, list[Rectangle]]
    supply_wires: dict[str, list[Rectangle]]
    wire_length: dict[str, float]
    signal_vias: int
    nets: dict[str, tuple[tuple[str, str], ...]]
    database: kdb.Layout

    def write_gds(self, path: Path) -> None:
        """Write the polygons as GDSII; the same block gives the same bytes."""
        options = kdb.SaveLayoutOptions()
        options.format = "GDS2"
        options.gds2_write_timestamps = False
        options.gds2_write_file_properties = False
        with replacing(path) as part:
            self.database.write(str(part), options)


def read_routed(path: Path, technology: Technology) -> RoutedBlock:
    """Read a routed DEF.

    Args:
        path: the DEF file.
        technology: LEF and GDS of the library.

    Raises:
        SynthesisError: the file is not complete, a cell is not placed, or the library's GDS lacks a cell.
    """
    text = path.read_text(encoding="utf-8")
    unit = re.search(r"^UNITS DISTANCE MICRONS (\d+)", text, re.MULTILINE)
    announced = re.search(r"^COMPONENTS (\d+)", text, re.MULTILINE)
    if unit is None or announced is None or not text.rstrip().endswith("END DESIGN"):  # KLayout does without
        raise SynthesisError(f"{path.name} is not a complete DEF file: the layout run did not finish")
    database, top = _read(path, technology)
    sizes = technology.cell_sizes
    cells = tuple(_placed_cells(database, top, sizes, technology))
    if len(cells) != int(announced.group(1)):
        missing = int(announced.group(1)) - len(cells)
        raise SynthesisError(f"{path.name}: {missing} of its cells are not placed: the layout run did not finish")
    layers = [layer.name for layer in technology.lef.routing_layers]
    numbers = {name: technology.gds_layers[name] for name in layers}
    signals, supplies = (
        {name: list(_wires(database, top, number, datatype)) for name, number in numbers.items()}
        for datatype in (0, _SUPPLY_DATATYPE)
    )
    pins = tuple(_pins(database, top, numbers))
    for number in numbers.values():  # read apart, drawn together
        wires, supply = (database.layer(number, datatype) for datatype in (0, _SUPPLY_DATATYPE))
        database.move_layer(supply, wires)
        database.delete_layer(supply)
    (die,) = top.each_shape(database.layer(_OUTLINE))
    outline = _box(die.dbbox())
    database.delete_layer(database.layer(_OUTLINE))
    return RoutedBlock(
        die=outline,
        core=_core(text, technology, int(unit.group(1))),
        cells=cells,
        pins=pins,
        signal_wires={name: [area for area, _ in wires] for name, wires in signals.items() if wires},
        supply_wires={name: [area for area, _ in wires] for name, wires in supplies.items() if wires},
        wire_length={name: total for name in sorted(signals) if (total := sum(length for _, length in signals[name]))},
        signal_vias=_signal_vias(text, technology),
        nets=_nets(text),
        database=database,
    )


def _read(path: Path, technology: Technology) -> tuple[kdb.Layout, kdb.Cell]:
    """Polygons of a DEF with the cells of the library, supplies on a datatype of their own."""
    library = kdb.Layout()
    library.read(str(technology.cell_gds))
    options = kdb.LoadLayoutOptions()
    config = options.lefdef_config
    config.read_lef_with_def = False
    config.lef_files = [str(technology.technology_lef), str(technology.cell_lef)]
    config.macro_resolution_mode = 2  # cells are those of the GDS, never outlines from the LEF
    config.macro_layouts = [library]
    config.dbu = DATABASE_UNIT_UM
    config.instance_property_name, config.net_property_name = _INSTANCE_NAME, _NET_NAME
    config.create_other_layers = False
    config.produce_pins = False
    config.special_routing_suffix = ".SUPPLY"
    config.layer_map = _layer_map(technology)
    config.cell_outline_layer = "OUTLINE"
    layout = kdb.Layout()
    verbosity = Logger.verbosity
    Logger.set_verbosity(_QUIET)  # it warns of the finer unit and of the pin shapes that are left out
    try:
        layout.read(str(path), options)
    except RuntimeError:
        raise SynthesisError(f"{path.name} is not a complete DEF file: the layout run did not finish") from None
    finally:
        Logger.set_verbosity(verbosity)
    return layout, layout.top_cell()


def _layer_map(technology: Technology) -> kdb.LayerMap:
    """GDS layers of the LEF's layers: wires and vias, supplies, labels of pins."""
    result = kdb.LayerMap()
    targets: list[tuple[str, kdb.LayerInfo]] = [("OUTLINE", _OUTLINE)]
    for layer in technology.lef.layers.values():
        if layer.kind == "CUT":
            targets.append((layer.name, kdb.LayerInfo(technology.gds_layers[layer.name], 0)))
        elif layer.kind == "ROUTING":
            number = technology.gds_layers[layer.name]
            targets += [
                (layer.name, kdb.LayerInfo(number, 0)),
                (f"{layer.name}.LABEL", kdb.LayerInfo(number, LABEL_TEXTTYPE)),
                (f"{layer.name}.SUPPLY", kdb.LayerInfo(number, _SUPPLY_DATATYPE)),
            ]
    for index, (name, target) in enumerate(targets):
        result.map(kdb.LayerInfo(name), index, target)
    return result


def _placed_cells(
    database: kdb.Layout, top: kdb.Cell, sizes: dict[str, tuple[float, float]], technology: Technology
) -> Iterator[PlacedCell]:
    for instance in top.each_inst():
        name = instance.property(_INSTANCE_NAME)
        if name is None:  # a via
            continue
        kind = instance.cell.name
        if instance.cell.is_empty() or kind not in sizes:
            raise SynthesisError(
                f"{technology.cell_gds.name} has no structure {kind}: it does not belong to this library"
            )
        outline = kdb.DBox(0, 0, *sizes[kind]).transformed(instance.dtrans)
        yield PlacedCell(str(name), kind, _box(outline))


def _wires(database: kdb.Layout, top: kdb.Cell, number: int, datatype: int) -> Iterator[tuple[Rectangle, float]]:
    """Outline and length of every straight piece of wire on a layer; patches have no length."""
    for shape in top.each_shape(database.layer(number, datatype)):
        if shape.is_text():
            continue
        length = 0.0
        if shape.is_path():
            points = list(shape.dpath.each_point())
            length = sum(a.distance(b) for a, b in zip(points, points[1:], strict=False))
        yield _box(shape.dbbox()), length


def _pins(database: kdb.Layout, top: kdb.Cell, layers: dict[str, int]) -> Iterator[BorderPin]:
    """Pins of signals and the clock: all that do not carry the name of a special net."""
    supplies = {
        shape.property(_NET_NAME)
        for number in layers.values()
        for shape in top.each_shape(database.layer(number, _SUPPLY_DATATYPE))
    }
    for name, number in layers.items():
        for shape in top.each_shape(database.layer(number, LABEL_TEXTTYPE)):
            if shape.is_text() and shape.text_string not in supplies:
                at = shape.dtext.trans.disp
                yield BorderPin(shape.text_string, name, round(at.x, 6), round(at.y, 6))


def _signal_vias(text: str, technology: Technology) -> int:
    """Vias of a DEF without its special nets."""
    signals = re.sub(r"^SPECIALNETS .*?^END SPECIALNETS$", "", text, flags=re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "signals.def"
        path.write_text(signals, encoding="utf-8")
        _, top = _read(path, technology)
        return sum(instance.property(_INSTANCE_NAME) is None for instance in top.each_inst())


def _nets(text: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """Cells and pins of every net, which KLayout does not read."""
    section = re.search(r"^NETS \d+ ;(.*?)^END NETS$", text, re.MULTILINE | re.DOTALL)
    found = re.findall(r"^\s*- (\S+)((?:\s+\( \S+ \S+ \))*)", section.group(1) if section else "", re.MULTILINE)
    return {name: tuple(re.findall(r"\( (\S+) (\S+) \)", pins)) for name, pins in found}


def _core(text: str, technology: Technology, unit: int) -> Rectangle:
    """Outline of all rows, which KLayout does not read."""
    rows = re.findall(r"^ROW \S+ (\S+) (-?\d+) (-?\d+) \w+ DO (\d+) BY \d+ STEP (\d+)", text, re.MULTILINE)
    if not rows:
        return (0.0, 0.0, 0.0, 0.0)
    x0 = min(int(x) for _, x, _, _, _ in rows) / unit
    x1 = max(int(x) + int(count) * int(step) for _, x, _, count, step in rows) / unit
    y0 = min(int(y) for _, _, y, _, _ in rows) / unit
    y1 = max(int(y) for _, _, y, _, _ in rows) / unit + technology.lef.sites[rows[0][0]][1]
    return (x0, y0, x1, y1)


def _box(box: kdb.DBox) -> Rectangle:
    return (round(box.left, 6), round(box.bottom, 6), round(box.right, 6), round(box.top, 6))
