"""Measures points on the machines of a cluster. They share no directory: the measurements travel with the work."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from fineq.common.errors import FineqError
from fineq.common.files import write_bytes
from fineq.distributed.cluster import Cluster
from fineq_sim.explore.points import Exploration, measure, measurements

AT_ONCE = 8
"""Points that a worker takes at once: a few tenths of a second, so that asking for work costs nothing, and so much is
lost where a worker dies."""


@dataclass(frozen=True)
class Sent:
    """What travels once.

    Attributes:
        exploration: of the points.
        files: measurements by name.
    """

    exploration: Exploration
    files: tuple[tuple[str, bytes], ...]


def measured_on(
    cluster: Cluster, exploration: Exploration, points: Sequence[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The points with what was found of them, as they end.

    Raises:
        FineqError: see `fineq.distributed.cluster.Cluster.map` and `fineq_sim.explore.points.measure`.
    """
    files = tuple((path.name, path.read_bytes()) for path in measurements(exploration.results))
    parts = [points[first : first + AT_ONCE] for first in range(0, len(points), AT_ONCE)]
    for number, found in cluster.map(measure_sent, Sent(exploration, files), [(part,) for part in parts]):
        yield from zip(parts[number], found, strict=True)


def measure_sent(sent: Sent, points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is found of points, on a worker."""
    directory = Path(_directory(sent.files).name)
    exploration = replace(sent.exploration, results=directory)
    try:
        return [measure(exploration, point) for point in points]
    except FineqError as error:  # names a place that the user does not know
        raise FineqError(str(error).replace(str(directory), str(sent.exploration.results))) from error


@cache
def _directory(files: tuple[tuple[str, bytes], ...]) -> tempfile.TemporaryDirectory[str]:
    """The measurements in files, as long as the worker lives."""
    directory = tempfile.TemporaryDirectory(prefix="fineq-measurements-")
    for name, content in files:
        write_bytes(Path(directory.name) / name, content)
    return directory
