"""Writes GDSII: the cells of the library, and a top with their placements, the wires, the vias and pin labels."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from fineq_asic.errors import SynthesisError
from fineq_asic.layout.def_file import Layout
from fineq_asic.layout.lef import Lef, Rectangle

_UNIT_UM = 1e-4
"""Database unit of the library's GDS in um; the written file has the same."""

_HEADER, _BGNLIB, _LIBNAME, _UNITS, _ENDLIB = 0x0002, 0x0102, 0x0206, 0x0305, 0x0400
_BGNSTR, _STRNAME, _ENDSTR = 0x0502, 0x0606, 0x0700
_BOUNDARY, _SREF, _TEXT, _ENDEL = 0x0800, 0x0A00, 0x0C00, 0x1100
_LAYER, _DATATYPE, _XY, _SNAME = 0x0D02, 0x0E02, 0x1003, 0x1206
_STRANS, _ANGLE, _TEXTTYPE, _STRING = 0x1A01, 0x1C05, 0x1602, 0x1906

_NO_DATE = (0,) * 12
_ORIENTATIONS = {"N": (False, 0, 0, 0), "S": (False, 180, 1, 1), "FN": (True, 180, 1, 0), "FS": (True, 0, 0, 1)}
"""Mirrored about x, angle, and by how many widths and heights the origin moves from the lower left corner."""


def gds_layer(name: str) -> int:
    """Layer number in FreePDK45: metal1 is 11, via1 12, metal2 13 and so on."""
    number = int(name.removeprefix("metal").removeprefix("via"))
    return 2 * number + (9 if name.startswith("metal") else 10)


def write_gds(layout: Layout, lef: Lef, cell_gds: Path, top: str, path: Path) -> None:
    """Write a layout as GDSII; the same layout gives the same bytes.

    Args:
        layout: the routed block.
        lef: cell sizes and via shapes.
        cell_gds: GDS of the library.
        top: name of the top structure.
        path: file to write.

    Raises:
        SynthesisError: the library has no structure for a cell, or another database unit.
    """
    used = sorted({component.kind for component in layout.components})
    structures = _structures(cell_gds)
    missing = [kind for kind in used if kind not in structures]
    if missing:
        raise SynthesisError(f"{cell_gds.name} has no structure {missing[0]}: it does not belong to this library")
    with path.open("wb") as file:
        file.write(_record(_HEADER, struct.pack(">h", 600)))
        file.write(_record(_BGNLIB, struct.pack(">12h", *_NO_DATE)))
        file.write(_record(_LIBNAME, _text(top)))
        file.write(_record(_UNITS, _real(_UNIT_UM) + _real(_UNIT_UM * 1e-6)))
        for kind in used:
            file.write(structures[kind])
        file.write(_record(_BGNSTR, struct.pack(">12h", *_NO_DATE)) + _record(_STRNAME, _text(top)))
        file.writelines(_elements(layout, lef))
        file.write(_record(_ENDSTR) + _record(_ENDLIB))


def _elements(layout: Layout, lef: Lef) -> Iterator[bytes]:
    for component in layout.components:
        macro = lef.macros[component.kind]
        mirrored, angle, widths, heights = _ORIENTATIONS[component.orientation]
        element = _record(_SREF) + _record(_SNAME, _text(component.kind))
        if mirrored or angle:
            element += _record(_STRANS, struct.pack(">H", 0x8000 if mirrored else 0)) + _record(_ANGLE, _real(angle))
        origin = (component.x + widths * macro.width, component.y + heights * macro.height)
        yield element + _record(_XY, _points([origin])) + _record(_ENDEL)
    for wire in layout.wires:
        yield _boundary(wire.layer, wire.area)
    for name, x, y, _ in layout.vias:
        for layer, (x0, y0, x1, y1) in layout.via_shapes.get(name) or lef.vias[name]:
            yield _boundary(layer, (x + x0, y + y0, x + x1, y + y1))
    for pin in layout.pins:
        layer = struct.pack(">h", gds_layer(pin.layer))
        element = _record(_TEXT) + _record(_LAYER, layer) + _record(_TEXTTYPE, b"\0\0")
        yield element + _record(_XY, _points([(pin.x, pin.y)])) + _record(_STRING, _text(pin.name)) + _record(_ENDEL)


def _boundary(layer: str, area: Rectangle) -> bytes:
    x0, y0, x1, y1 = area
    number = _record(_LAYER, struct.pack(">h", gds_layer(layer))) + _record(_DATATYPE, b"\0\0")
    corners = _points([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
    return _record(_BOUNDARY) + number + _record(_XY, corners) + _record(_ENDEL)


def _points(points: list[tuple[float, float]]) -> bytes:
    values = [round(value / _UNIT_UM) for point in points for value in point]
    return struct.pack(f">{len(values)}i", *values)


def _record(kind: int, data: bytes = b"") -> bytes:
    return struct.pack(">HH", len(data) + 4, kind) + data


def _text(text: str) -> bytes:
    data = text.encode("ascii")
    return data + b"\0" * (len(data) % 2)


def _real(value: float) -> bytes:
    """A number as GDSII's base-16 floating point."""
    if value == 0:
        return bytes(8)
    exponent = 64
    while value >= 1:
        value, exponent = value / 16, exponent + 1
    while value < 1 / 16:
        value, exponent = value * 16, exponent - 1
    return bytes([exponent]) + round(value * 2**56).to_bytes(7, "big")


def read_records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Offset, kind and data of every record."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from(">HH", data, offset)
        if length < 4:
            return
        yield offset, kind, data[offset + 4 : offset + length]
        offset += length


def _structures(path: Path) -> dict[str, bytes]:
    """Bytes of every structure of a library by name."""
    data = path.read_bytes()
    result, start, name = {}, 0, ""
    for offset, kind, value in read_records(data):
        if kind == _UNITS and value != _real(_UNIT_UM) + _real(_UNIT_UM * 1e-6):
            raise SynthesisError(f"{path.name} has another database unit than {_UNIT_UM} um")
        if kind == _BGNSTR:
            start = offset
        elif kind == _STRNAME:
            name = value.rstrip(b"\0").decode("ascii")
        elif kind == _ENDSTR:
            result[name] = data[start : offset + 4]
    return result
