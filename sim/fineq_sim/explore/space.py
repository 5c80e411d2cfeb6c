"""Spaces of machines: axes of a YAML file, their grid or a seeded sample of it.

    base: accelerator_64x64
    sample: 2000                 # points drawn without repetition; leave it out for the whole grid
    seed: 1
    axes:
      encoding: [unary, cluster, mac8x3]     # a kind of array in its smallest form
      rows: [32, 64, 128]
      columns: [48, 64, 96]
      channels_per_tile: [256, 512, 1024]    # any setting of an architecture file
      memory.latency: [20, 40, 100]

Dots in the name of an axis lead into the parts of an architecture file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fineq.common.errors import FineqError
from fineq_hw.config import ARRAYS, MACS, ArrayConfig, MacConfig, name_part
from fineq_sim.study.architecture import Architecture, ArchitectureError, read_architecture

SIZE = "64x64"
KINDS: dict[str, ArrayConfig | MacConfig] = {
    "unary": ARRAYS[f"fineq_{SIZE}_column_latch"],
    **{each.encoding: each for name, each in ARRAYS.items() if name == f"fineq_{SIZE}_{name_part(each.encoding)}"},
    "mac8x3": MACS[f"mac8x3_{SIZE}_broadcast_latch"],
    "mac8x8": MACS[f"mac8x8_{SIZE}_broadcast_latch"],
    "mac8x3-digits": MACS[f"mac8x3_{SIZE}_broadcast_digits_8_latch"],
}
"""Values of the axis `encoding`: each encoding at its smallest, and MAC arrays."""

_ARRAY_AXES = ("encoding", "rows", "columns")
_SETTINGS = ("base", "sample", "seed", "axes")


class SpaceError(FineqError):
    """A space that makes no sense; the text says why."""


@dataclass(frozen=True)
class Space:
    """Axes and what is taken of their grid.

    Attributes:
        name: of the file.
        base: named accelerator that gives what no axis says.
        axes: values by axis.
        sample: points drawn, a larger one with the same seed has them all; None: all.
        seed: of the draw.
    """

    name: str
    base: str
    axes: Mapping[str, tuple[Any, ...]]
    sample: int | None
    seed: int

    @property
    def grid(self) -> int:
        """Points of the whole grid."""
        return prod(len(values) for values in self.axes.values())

    def points(self) -> Iterator[dict[str, Any]]:
        """The points, each a value by axis, in the order of the grid."""
        numbers = np.arange(self.grid)
        if self.sample is not None and self.sample < self.grid:
            numbers = np.sort(np.random.default_rng(self.seed).permutation(self.grid)[: self.sample])
        for number in numbers.tolist():
            point = {}
            for axis, values in reversed(list(self.axes.items())):
                number, place = divmod(number, len(values))
                point[axis] = values[place]
            yield dict(reversed(list(point.items())))


def read_space(path: Path) -> Space:
    """The space of a file.

    Raises:
        SpaceError: it cannot be read, or an axis is unknown or empty.
    """
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SpaceError(f"cannot read {path} as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(described, dict) or not isinstance(described.get("axes"), dict) or not described["axes"]:
        raise SpaceError(f"{path} has no axes: it needs `axes:` with a list of values for each, such as rows: [32, 64]")
    for name in described:
        if name not in _SETTINGS:
            raise SpaceError(f"{path}: unknown setting {name!r}: choose from {', '.join(_SETTINGS)}")
    axes: dict[str, tuple[Any, ...]] = {}
    for axis, values in described["axes"].items():
        if not isinstance(values, list) or not values:
            raise SpaceError(f"{path}: axis {axis} is {values!r}: it needs a list of values")
        axes[str(axis)] = tuple(values)
    for value in axes.get("encoding", ()):
        if value not in KINDS:
            raise SpaceError(f"{path}: encoding {value!r} is unknown: choose from {', '.join(KINDS)}")
    sample, seed = described.get("sample"), described.get("seed", 0)
    for name, number in (("sample", sample), ("seed", seed)):
        if number is not None and (type(number) is not int or number < (name == "sample")):
            raise SpaceError(f"{path}: {name} is {number!r}: it must be a whole number")
    space = Space(path.stem, described.get("base", f"accelerator_{SIZE}"), axes, sample, seed)
    _check_axes(space, path)
    return space


def _check_axes(space: Space, path: Path) -> None:
    """Raise if an axis is no setting: said before thousands of points are tried."""
    point = {axis: values[0] for axis, values in space.axes.items()}
    try:
        architecture(space, point)
    except ArchitectureError as error:
        if "unknown" in str(error) or "base is" in str(error):
            raise SpaceError(f"{path}: {error}") from error


def architecture(space: Space, point: Mapping[str, Any]) -> Architecture:
    """The machine of a point.

    Raises:
        ArchitectureError: it cannot be built.
    """
    described: dict[str, Any] = {"base": space.base}
    for axis, value in point.items():
        if axis in _ARRAY_AXES:
            continue
        *path, last = axis.split(".")
        place = described
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value
    found = read_architecture("point", described)
    array = KINDS[point["encoding"]] if "encoding" in point else found.config.array
    sizes = {name: point.get(name, getattr(found.config.array, name)) for name in ("rows", "columns")}
    try:
        array = replace(array, **sizes)
        return replace(found, name=point_name(point), config=replace(found.config, array=array))
    except (ValueError, TypeError) as error:
        raise ArchitectureError(str(error)) from error


def point_name(point: Mapping[str, Any]) -> str:
    """For tables."""
    return ", ".join(f"{axis.rpartition('.')[2]} {value}" for axis, value in point.items())
