"""Reads a routed DEF: die, placed cells, pins, wires and vias."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fineq_asic.errors import SynthesisError
from fineq_asic.layout.lef import Lef, Rectangle

_ROUTING = re.compile(r"\+ (?:ROUTED|FIXED) (.*?)(?=\+ (?!SHAPE|STYLE|RECT|POLYGON)|\Z)", re.DOTALL)
"""Wires of a net, up to its next property."""


@dataclass(frozen=True)
class Component:
    """A placed cell: lower left corner in um and orientation (`N`, `S`, `FN`, `FS`)."""

    name: str
    kind: str
    x: float
    y: float
    orientation: str


@dataclass(frozen=True)
class Pin:
    """A pin of the block: where it is in um and on which layer."""

    name: str
    layer: str
    x: float
    y: float


@dataclass(frozen=True)
class Wire:
    """A straight piece of wire.

    Attributes:
        layer: routing layer.
        area: outline in um.
        length: between the points of its axis, in um; 0 for a patch.
        use: `signal`, `clock`, `power` or `ground`.
    """

    layer: str
    area: Rectangle
    length: float
    use: str


@dataclass
class Layout:
    """A routed block.

    Attributes:
        die: outline of the block.
        core: outline of all rows of cells.
        components, pins, wires: what is in it.
        vias: name, x, y and use.
        via_shapes: rectangles by layer of the vias that the DEF itself defines.
    """

    die: Rectangle = (0.0, 0.0, 0.0, 0.0)
    core: Rectangle = (0.0, 0.0, 0.0, 0.0)
    components: list[Component] = field(default_factory=list)
    pins: list[Pin] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    vias: list[tuple[str, float, float, str]] = field(default_factory=list)
    via_shapes: dict[str, list[tuple[str, Rectangle]]] = field(default_factory=dict)

    def wire_length(self) -> dict[str, float]:
        """Length of signal and clock wires in um by layer."""
        total: dict[str, float] = {}
        for wire in self.wires:
            if wire.use in ("signal", "clock") and wire.length:
                total[wire.layer] = total.get(wire.layer, 0.0) + wire.length
        return dict(sorted(total.items()))


def read_def(path: Path, lef: Lef) -> Layout:
    """Read a DEF file.

    Args:
        path: the file.
        lef: widths of its layers.

    Raises:
        SynthesisError: the file has no die, or ends early.
    """
    text = path.read_text(encoding="utf-8")
    unit = re.search(r"UNITS DISTANCE MICRONS (\d+)", text)
    if unit is None or not text.rstrip().endswith("END DESIGN"):
        raise SynthesisError(f"{path.name} is not a complete DEF file: the layout run did not finish")
    reader = _Reader(lef, int(unit.group(1)))
    sections = {
        match.group(1): match.group(2)
        for match in re.finditer(r"^(VIAS|COMPONENTS|PINS|SPECIALNETS|NETS) \d+ ;\n(.*?)^END \1", text, re.M | re.S)
    }
    corners = re.search(r"^DIEAREA (.*?);", text, re.M)
    layout = reader.layout
    numbers = [int(word) / reader.unit for word in re.findall(r"-?\d+", corners.group(1))]
    layout.die = (numbers[0], numbers[1], numbers[2], numbers[3])
    layout.core = _core(text, lef, reader.unit)
    reader.vias(sections.get("VIAS", ""))
    reader.components(sections.get("COMPONENTS", ""))
    reader.pins(sections.get("PINS", ""))
    reader.nets(sections.get("SPECIALNETS", ""), special=True)
    reader.nets(sections.get("NETS", ""), special=False)
    return layout


def _core(text: str, lef: Lef, unit: int) -> Rectangle:
    rows = re.findall(r"^ROW \S+ (\S+) (-?\d+) (-?\d+) \w+ DO (\d+) BY \d+ STEP (\d+)", text, re.M)
    if not rows:
        return (0.0, 0.0, 0.0, 0.0)
    x0 = min(int(x) for _, x, _, _, _ in rows) / unit
    x1 = max(int(x) + int(count) * int(step) for _, x, _, count, step in rows) / unit
    y0 = min(int(y) for _, _, y, _, _ in rows) / unit
    y1 = max(int(y) for _, _, y, _, _ in rows) / unit + lef.sites[rows[0][0]][1]
    return (x0, y0, x1, y1)


def _statements(section: str) -> Iterator[str]:
    for statement in re.split(r";\s*\n", section):
        if statement.strip():
            yield statement.strip().removeprefix("- ")


class _Reader:
    def __init__(self, lef: Lef, unit: int) -> None:
        self.lef, self.unit = lef, unit
        self.layout = Layout()

    def vias(self, section: str) -> None:
        for statement in _statements(section):
            name = statement.split()[0]
            rectangles = [
                (match.group(1), tuple(int(v) / self.unit for v in re.findall(r"-?\d+", match.group(2))))
                for match in re.finditer(r"\+ RECT (\w+) ((?:\( -?\d+ -?\d+ \) ?){2})", statement)
            ]
            self.layout.via_shapes[name] = rectangles or self._generated_via(statement)

    def _generated_via(self, statement: str) -> list[tuple[str, Rectangle]]:
        """An array of cuts with its two metal plates (DEF 5.8, VIARULE)."""

        def values(key: str) -> list[str]:
            match = re.search(rf"\+ {key} ([^+]*)", statement)
            return match.group(1).split() if match else []

        bottom, cut, top = values("LAYERS")
        width, height = (int(v) for v in values("CUTSIZE"))
        gap_x, gap_y = (int(v) for v in values("CUTSPACING"))
        bottom_x, bottom_y, top_x, top_y = (int(v) for v in values("ENCLOSURE"))
        rows, columns = (int(v) for v in values("ROWCOL") or ("1", "1"))
        array_x = (columns * width + (columns - 1) * gap_x) / 2
        array_y = (rows * height + (rows - 1) * gap_y) / 2
        shapes = [
            (bottom, (-array_x - bottom_x, -array_y - bottom_y, array_x + bottom_x, array_y + bottom_y)),
            (top, (-array_x - top_x, -array_y - top_y, array_x + top_x, array_y + top_y)),
        ]
        for row in range(rows):
            for column in range(columns):
                x, y = column * (width + gap_x) - array_x, row * (height + gap_y) - array_y
                shapes.append((cut, (x, y, x + width, y + height)))
        return [(layer, tuple(value / self.unit for value in area)) for layer, area in shapes]

    def components(self, section: str) -> None:
        for statement in _statements(section):
            name, kind = statement.split()[:2]
            placed = re.search(r"\+ (?:PLACED|FIXED) \( (-?\d+) (-?\d+) \) (\w+)", statement)
            if placed is None:
                raise SynthesisError(f"{name} is not placed: the layout run did not finish")
            x, y = int(placed.group(1)) / self.unit, int(placed.group(2)) / self.unit
            self.layout.components.append(Component(name.replace("\\", ""), kind, x, y, placed.group(3)))

    def pins(self, section: str) -> None:
        for statement in _statements(section):
            placed = re.search(r"\+ LAYER (\w+).*?\+ (?:PLACED|FIXED) \( (-?\d+) (-?\d+) \)", statement, re.S)
            if placed and "+ USE SIGNAL" in statement or placed and "+ USE CLOCK" in statement:
                name = statement.split()[0].replace("\\", "")
                x, y = int(placed.group(2)) / self.unit, int(placed.group(3)) / self.unit
                self.layout.pins.append(Pin(name, placed.group(1), x, y))

    def nets(self, section: str, special: bool) -> None:
        for statement in _statements(section):
            use = re.search(r"\+ USE (\w+)", statement)
            kind = use.group(1).lower() if use else "signal"
            for match in _ROUTING.finditer(statement):
                for piece in re.split(r"\bNEW\b", match.group(1)):
                    self._wire(piece.split(), kind, special)

    def _wire(self, words: list[str], use: str, special: bool) -> None:
        layer, position = words[0], 1
        width = self.lef.layers[layer].width
        if special:
            width, position = int(words[1]) / self.unit, 2
        last: tuple[float, float] | None = None
        last_extension = 0.0
        while position < len(words):
            word = words[position]
            if word == "+":
                position += 3  # + SHAPE kind, + STYLE number
            elif word == "TAPER":
                position += 1
            elif word in ("TAPERRULE", "MASK"):
                position += 2
            elif word == "RECT":
                x0, y0, x1, y1 = (int(v) / self.unit for v in words[position + 2 : position + 6])
                area = (last[0] + x0, last[1] + y0, last[0] + x1, last[1] + y1)
                self.layout.wires.append(Wire(layer, area, 0.0, use))
                position += 7
            elif word == "(":
                end = words.index(")", position)
                point = words[position + 1 : end]
                x = last[0] if point[0] == "*" else int(point[0]) / self.unit
                y = last[1] if point[1] == "*" else int(point[1]) / self.unit
                # A regular wire goes on by half its width behind a point that names no other extension.
                extension = int(point[2]) / self.unit if len(point) > 2 else 0.0 if special else width / 2
                if last is not None:
                    self._segment(layer, width, (*last, last_extension), (x, y, extension), use)
                last, last_extension = (x, y), extension
                position = end + 1
            else:
                self.layout.vias.append((word, *last, use))
                layer = self._other_side(word, layer)
                width = width if special else self.lef.layers[layer].width
                last_extension = 0.0 if special else width / 2
                position += 1

    def _other_side(self, via: str, layer: str) -> str:
        """The routing layer that a via leads to: the path goes on there."""
        shapes = self.layout.via_shapes.get(via) or self.lef.vias[via]
        ends = {name for name, _ in shapes if self.lef.layers[name].kind == "ROUTING"} - {layer}
        if len(ends) != 1:
            raise SynthesisError(f"via {via} on {layer} leads to {' and '.join(sorted(ends)) or 'no other layer'}")
        return ends.pop()

    def _segment(
        self, layer: str, width: float, a: tuple[float, float, float], b: tuple[float, float, float], use: str
    ) -> None:
        """A piece between two points, each with its extension."""
        (x0, x1), (y0, y1) = sorted((a[0], b[0])), sorted((a[1], b[1]))
        (_, _, before), (_, _, after) = sorted((a, b))
        half = width / 2
        if x1 > x0:
            area = (x0 - before, y0 - half, x1 + after, y1 + half)
        else:
            area = (x0 - half, y0 - before, x1 + half, y1 + after)
        self.layout.wires.append(Wire(layer, area, x1 - x0 + y1 - y0, use))
