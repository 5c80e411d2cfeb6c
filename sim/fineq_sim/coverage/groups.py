"""Cover groups: situations that the regression must meet, one bin each, and how often it met them.

    JOBS = CoverGroup("machine.jobs", "...", {"format": names(OutputFormat), "termination": ("early", "full")})
    JOBS.sample(format="SUMS", termination="early")

Axes are crossed. Their values come from enumerations of the code, so that a new one is a new bin. What cannot occur is
declared so, with the reason; if it occurs all the same, the test fails. cocotb-coverage (its
source was read, it was not run here) crosses points too, but its bins have no reasons and none of them is illegal.
"""

from __future__ import annotations

import atexit
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import product
from pathlib import Path

from fineq.common.files import write_text

FILE_VARIABLE = "FINEQ_FUNCTIONAL_COVERAGE"
"""Environment variable: the file into which a simulation writes its counts when it ends; unset, nothing is written."""

Bin = tuple[str, ...]
"""One value of each axis."""


@dataclass(frozen=True)
class Impossible:
    """Bins that cannot occur: those for whose values, by axis, `where` is true."""

    where: Callable[[Mapping[str, str]], bool]
    reason: str


class CoverGroup:
    """Bins that are the crossings of some axes.

    Args:
        name: `room.what`.
        meaning: when a sample is taken, for the report.
        axes: values by axis.
        impossible: bins that cannot occur.

    Attributes:
        bins: all of them, with the reason why it cannot occur, or None.
        counts: samples by bin.
    """

    def __init__(
        self, name: str, meaning: str, axes: Mapping[str, Iterable[str]], impossible: Iterable[Impossible] = ()
    ) -> None:
        self.name, self.meaning = name, meaning
        self.axes = {axis: tuple(values) for axis, values in axes.items()}
        impossible = tuple(impossible)
        self.bins: dict[Bin, str | None] = {}
        for values in product(*self.axes.values()):
            labels = dict(zip(self.axes, values, strict=True))
            self.bins[values] = next((each.reason for each in impossible if each.where(labels)), None)
        self.counts: Counter[Bin] = Counter()
        _declared.append(self)

    def sample(self, **values: str) -> None:
        """Count one situation.

        Raises:
            ValueError: an axis is missing, or a value is not declared.
            AssertionError: this cannot occur.
        """
        if values.keys() != self.axes.keys():
            raise ValueError(f"{self.name} has the axes {', '.join(self.axes)}, not {', '.join(values)}")
        found = tuple(values[axis] for axis in self.axes)
        if found not in self.bins:
            raise ValueError(f"{self.name} has no bin {' x '.join(found)}: declare it")
        reason = self.bins[found]
        assert reason is None, f"{self.name}: {' x '.join(found)} occurred, although {reason}"
        self.counts[found] += 1


_declared: list[CoverGroup] = []


def names(enumeration: type[Enum]) -> tuple[str, ...]:
    """Values of an axis: the names of an enumeration."""
    return tuple(each.name for each in enumeration)


def as_document(groups: Iterable[CoverGroup]) -> dict[str, list[list]]:
    """Counts for JSON: for each group, its bins that were met: the values and the count."""
    return {group.name: [[*met, count] for met, count in sorted(group.counts.items())] for group in groups}


def _save() -> None:
    file = os.environ.get(FILE_VARIABLE)
    if file:
        write_text(Path(file), json.dumps(as_document(_declared)) + "\n")


atexit.register(_save)
