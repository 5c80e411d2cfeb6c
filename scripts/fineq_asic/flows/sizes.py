"""What the flows share that go through the designs of one size: what is asked for, and what a run says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fineq_asic.activity.workload import DataSet
from fineq_asic.errors import SynthesisError
from fineq_asic.mapping.closure import Mapped, Progress, Tools, find_tools, map_and_close
from fineq_asic.mapping.designs import CoreDesign, designs_of
from fineq_asic.timing.opensta import Constraints


@dataclass(frozen=True)
class Order:
    """Which designs are to be run, on what.

    Attributes:
        size: such as `16x16`.
        clock_ns: clock period.
        data: weights and activations for the gate-level runs.
        tops: only these designs; empty: all of the size.
        command: what makes the same report again.
        cache: directory that keeps mapped netlists, and what a flow finds of them; None: always map and measure.
    """

    size: str
    clock_ns: float
    data: DataSet
    tops: tuple[str, ...] = ()
    command: str = ""
    cache: Path | None = None

    @property
    def constraints(self) -> Constraints:
        """Of the timing analysis."""
        return Constraints(self.clock_ns)

    def designs(self) -> list[CoreDesign]:
        """The designs that are asked for.

        Raises:
            SynthesisError: the clock, the size or a design is none.
        """
        if self.clock_ns <= 0:
            raise SynthesisError(f"the clock period is {self.clock_ns:g} ns: it must be positive")
        designs = designs_of(self.size)
        unknown = sorted(set(self.tops) - {design.top for design in designs})
        if unknown:
            known = ", ".join(design.top for design in designs)
            raise SynthesisError(f"unknown design {unknown[0]!r}: choose from {known}")
        return [design for design in designs if not self.tops or design.top in self.tops]


def netlists(order: Order, work: Path, progress: Progress) -> tuple[Tools, Iterator[Mapped]]:
    """The tools, and the designs one after another, each mapped when it is its turn.

    Args:
        order: which designs.
        work: directory for intermediate files, one folder a design.
        progress: called with progress lines.

    Raises:
        SynthesisError: the order is wrong, or a tool is missing; when its turn comes: a design does not map.
    """
    designs, constraints = order.designs(), order.constraints
    tools = find_tools()
    work.mkdir(parents=True, exist_ok=True)
    mapped = (map_and_close(design, tools, constraints, work / design.top, progress, order.cache) for design in designs)
    return tools, mapped


@dataclass(frozen=True)
class SizeRun:
    """What a report says beside its results.

    Attributes:
        size: such as `64x64`.
        clock_ns: target clock.
        tools: versions and checksums by name.
        activity: what data the activity comes from.
        command: what makes the same report again.
    """

    size: str
    clock_ns: float
    tools: dict[str, str]
    activity: str
    command: str

    def head(self) -> dict[str, str | float]:
        """How its JSON report begins."""
        return {"size": self.size, "clock_ns": self.clock_ns, "command": self.command, "activity": self.activity}
