"""What the kernels are meant to reach, and whether they do, from the tables alone."""

from __future__ import annotations

from dataclasses import dataclass

from fineq_reports.bench.records import BenchTable

INT8 = "packed, int8 activations"


@dataclass(frozen=True)
class Goal:
    """A case may take at most `limit` times the CPU time of another in the same table."""

    table: str
    case: str
    other: str
    limit: float
    measured: float

    @property
    def verdict(self) -> str:
        return "met" if self.measured <= self.limit else "missed"


def judge(tables: list[BenchTable]) -> list[Goal]:
    """The goals whose cases were measured."""
    goals = []
    for table in tables:
        ratios = {row.case: row.cpu_ratio for row in table.rows}
        for case, other, limit in wanted(table.title):
            if case in ratios and other in ratios:
                goals.append(Goal(table.title, case, other, limit, ratios[case] / ratios[other]))
    return goals


def wanted(title: str) -> list[tuple[str, str, float]]:
    """Case, what it is held against, and the most that it may take, for a table."""
    if title[0].isdigit() and "calls" not in title:
        if title.endswith(", 1 token"):
            return [(INT8, "torch float32", 1 / 5), (INT8, "ggml Q2_K", 1.2)]
        if title.endswith((", 32 tokens", ", 128 tokens")):
            return [(INT8, "torch bfloat16", 1.0)]
    if "decoding" in title:
        return [("packed blocks, int8 activations", "bfloat16", 1 / 2)]
    if "reading" in title:
        return [("packed blocks, int8 activations", "bfloat16", 1.0)]
    return []
