"""What a benchmark finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One case of one table. Times in seconds; ratios are to the table's baseline; rate in weights per second."""

    case: str
    seconds: float
    cpu_seconds: float
    ratio: float
    quartiles: tuple[float, float]
    cpu_ratio: float
    rate: float
    bar: float | None

    @property
    def verdict(self) -> str:
        if self.bar is None:
            return ""
        return f"{'within' if self.ratio <= self.bar else 'misses'} {self.bar:g}"


@dataclass(frozen=True)
class BenchTable:
    title: str
    baseline: str
    rows: list[Row]


@dataclass(frozen=True)
class Peak:
    """Memory that a step takes at most beyond what was there before, in MB (None: the system does not tell)."""

    step: str
    megabytes: float | None
    compared_with: str
    comparison_megabytes: float


@dataclass(frozen=True)
class Report:
    machine: dict[str, str]
    settings: dict[str, int]
    tables: list[BenchTable] = field(default_factory=list)
    peaks: list[Peak] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
