"""Reads what the layout needs from LEF: routing layers, vias, placement sites and cell outlines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fineq_asic.errors import SynthesisError

Rectangle = tuple[float, float, float, float]
"""x0, y0, x1, y1 in um."""


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


@dataclass(frozen=True)
class Macro:
    """A cell outline: size in um and the use (`signal`, `power`, `ground`, `clock`) of every pin."""

    name: str
    width: float
    height: float
    pins: dict[str, str]


@dataclass
class Lef:
    """Contents of one or more LEF files; `vias` are rectangles by layer, relative to the centre of the via."""

    layers: dict[str, Layer] = field(default_factory=dict)
    vias: dict[str, list[tuple[str, Rectangle]]] = field(default_factory=dict)
    sites: dict[str, tuple[float, float]] = field(default_factory=dict)
    macros: dict[str, Macro] = field(default_factory=dict)

    @property
    def routing_layers(self) -> list[Layer]:
        """Routing layers, lowest first."""
        return [layer for layer in self.layers.values() if layer.kind == "ROUTING"]


_BLOCKS = ("LAYER", "VIA", "VIARULE", "SITE", "MACRO")


def read_lef(*paths: Path) -> Lef:
    """Read LEF files, technology first.

    Raises:
        SynthesisError: a file ends inside a block.
    """
    lef = Lef()
    for path in paths:
        tokens = re.sub(r"#.*", "", path.read_text(encoding="utf-8")).split()
        for kind, name, body in _top_blocks(tokens, path):
            if kind == "LAYER":
                lef.layers[name] = _layer(name, body)
            elif kind == "VIA":
                lef.vias[name] = _rectangles(body)
            elif kind == "SITE":
                size = body.index("SIZE")
                lef.sites[name] = (float(body[size + 1]), float(body[size + 3]))
            elif kind == "MACRO":
                lef.macros[name] = _macro(name, body)
    return lef


def _top_blocks(tokens: list[str], path: Path) -> Iterator[tuple[str, str, list[str]]]:
    position = 0
    while position < len(tokens):
        word = tokens[position]
        if word in _BLOCKS:
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
    while True:
        try:
            position = tokens.index("END", position)
        except ValueError:
            raise SynthesisError(f"{path.name} ends inside {name}: the file is cut off, get it again") from None
        if tokens[position + 1 : position + 2] == [name]:
            return position
        position += 1


def _statements(body: list[str]) -> list[list[str]]:
    return [statement.split() for statement in " ".join(body).split(";") if statement.strip()]


def _layer(name: str, body: list[str]) -> Layer:
    values: dict[str, list[str]] = {}
    for statement in _statements(body):
        values.setdefault(statement[0], statement[1:])
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


def _rectangles(body: list[str]) -> list[tuple[str, Rectangle]]:
    result, layer = [], ""
    start = body.index("LAYER")
    for statement in _statements(body[start:]):
        if statement[0] == "LAYER":
            layer = statement[1]
        elif statement[0] == "RECT":
            x0, y0, x1, y1 = map(float, statement[1:5])
            result.append((layer, (x0, y0, x1, y1)))
    return result


def _macro(name: str, body: list[str]) -> Macro:
    size = body.index("SIZE")
    pins: dict[str, str] = {}
    position = 0
    while "PIN" in body[position:]:
        position = body.index("PIN", position)
        pin = body[position + 1]
        end = next(i for i in range(position, len(body) - 1) if body[i] == "END" and body[i + 1] == pin)
        words = body[position:end]
        pins[pin] = words[words.index("USE") + 1].lower() if "USE" in words else "signal"
        position = end
    return Macro(name, float(body[size + 1]), float(body[size + 3]), pins)
