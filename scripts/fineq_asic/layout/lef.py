"""What the layout needs of the LEF beyond polygons: layers with their electrical values, sites, sizes of cells.

Shapes of cells, wires and vias are read by KLayout (`routed`), which leaves out the values of layers and sites.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import klayout.db as kdb

from fineq_asic.errors import SynthesisError


@dataclass(frozen=True)
class Layer:
    """A routing or cut layer.

    Attributes:
        kind: `ROUTING`, `CUT` or another type, as in the LEF.
        direction: preferred direction, `HORIZONTAL`, `VERTICAL` or empty.
        width, pitch, spacing, thickness: in um.
        resistance: ohm per square of a routing layer, ohm per cut of a cut layer.
        area_capacitance: pF per um^2.
        edge_capacitance: pF per um of edge.
        antenna_rules: whether the LEF limits the antenna of wires on this layer.
    """

    name: str
    kind: str
    direction: str = ""
    width: float = 0.0
    pitch: float = 0.0
    spacing: float = 0.0
    thickness: float = 0.0
    resistance: float = 0.0
    area_capacitance: float = 0.0
    edge_capacitance: float = 0.0
    antenna_rules: bool = False


@dataclass
class TechnologyLef:
    """Layers and placement sites (width and height in um) by name."""

    layers: dict[str, Layer] = field(default_factory=dict)
    sites: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def routing_layers(self) -> list[Layer]:
        """Routing layers, lowest first."""
        return [layer for layer in self.layers.values() if layer.kind == "ROUTING"]


def read_technology_lef(path: Path) -> TechnologyLef:
    """Read layers and sites.

    Raises:
        SynthesisError: the file ends inside a block.
    """
    lef = TechnologyLef()
    tokens = _words(path)
    for kind, name, body in _blocks(tokens, path):
        if kind == "LAYER":
            lef.layers[name] = _layer(name, body)
        elif kind == "SITE":
            size = body.index("SIZE")
            lef.sites[name] = (float(body[size + 1]), float(body[size + 3]))
    return lef


def read_cell_sizes(technology: Path, cells: Path) -> dict[str, tuple[float, float]]:
    """Width and height in um of every cell.

    Args:
        technology, cells: the LEF of the technology and that of the cells.

    Raises:
        SynthesisError: the LEF of the cells is not complete.
    """
    if _words(cells)[-2:] != ["END", "LIBRARY"]:  # KLayout does without
        raise SynthesisError(f"{cells.name} does not end with END LIBRARY: the file is cut off, get it again")
    options = kdb.LoadLayoutOptions()
    options.lefdef_config.read_lef_with_def = False
    options.lefdef_config.lef_files = [str(technology)]
    options.lefdef_config.cell_outline_layer = "OUTLINE"
    layout = kdb.Layout()
    layout.read(str(cells), options)
    outline = layout.layer(next(info for info in layout.layer_infos() if info.name == "OUTLINE"))
    boxes = {cell.name: cell.dbbox(outline) for cell in layout.each_cell()}
    return {name: (round(box.width(), 6), round(box.height(), 6)) for name, box in boxes.items() if not box.empty()}


def _words(path: Path) -> list[str]:
    """Words of a LEF without its comments."""
    return re.sub(r"#.*", "", path.read_text(encoding="utf-8")).split()


def _blocks(tokens: list[str], path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Kind, name and words of every block that has a name; statements outside of blocks are skipped."""
    position = 0
    while position < len(tokens):
        word = tokens[position]
        if word in ("LAYER", "VIA", "VIARULE", "SITE"):
            name = tokens[position + 1]
            end = _end(tokens, position + 2, name, path)
            yield word, name, tokens[position + 2 : end]
            position = end + 2
        elif word in ("UNITS", "SPACING", "PROPERTYDEFINITIONS"):
            position = _end(tokens, position + 1, word, path) + 2
        elif word == "END":
            position += 2
        else:
            position = tokens.index(";", position) + 1


def _end(tokens: list[str], position: int, name: str, path: Path) -> int:
    """Position of `END name`."""
    for place in range(position, len(tokens) - 1):
        if tokens[place] == "END" and tokens[place + 1] == name:
            return place
    raise SynthesisError(f"{path.name} ends inside {name}: the file is cut off, get it again")


def _layer(name: str, body: list[str]) -> Layer:
    values: dict[str, list[str]] = {}
    for statement in " ".join(body).split(";"):
        if words := statement.split():
            values.setdefault(words[0], words[1:])
    number = {key: float(words[-1]) for key, words in values.items() if re.fullmatch(r"-?[\d.]+(e-?\d+)?", words[-1])}
    table = values.get("SPACINGTABLE", [])
    first_row = float(table[table.index("WIDTH") + 2]) if "WIDTH" in table else 0.0
    return Layer(
        name,
        kind=values["TYPE"][0],
        direction=values.get("DIRECTION", [""])[0],
        width=number.get("WIDTH", 0.0),
        pitch=number.get("PITCH", 0.0),
        spacing=number.get("SPACING", first_row),
        thickness=number.get("THICKNESS", 0.0),
        resistance=number.get("RESISTANCE", 0.0),
        area_capacitance=number.get("CAPACITANCE", 0.0),
        edge_capacitance=number.get("EDGECAPACITANCE", 0.0),
        antenna_rules=any(key.startswith("ANTENNA") and key.endswith("RATIO") for key in values),
    )
