"""Counts of many simulations put together, and the report on them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from fineq.common.errors import FineqError
from fineq.common.markdown import table
from fineq_sim.coverage import array, control, dma, machine, vector
from fineq_sim.coverage.groups import Bin, CoverGroup

GROUPS: dict[str, CoverGroup] = {
    value.name: value
    for room in (array, control, dma, vector, machine)
    for value in vars(room).values()
    if isinstance(value, CoverGroup)
}
"""All groups by name, in the order of the report."""

Counts = Mapping[str, Counter[Bin]]
"""Samples by group and bin."""

COUNTS_FILE = "functional-coverage.json"
"""Where a simulation leaves its counts, in its directory, and a regression the sums."""


def merge(files: Iterable[Path]) -> dict[str, Counter[Bin]]:
    """The counts of simulations added up; a file that is not there counts nothing.

    Raises:
        FineqError: a file with a group or a bin that is not declared.
    """
    merged: dict[str, Counter[Bin]] = {name: Counter() for name in GROUPS}
    for file in files:
        if not file.is_file():
            continue
        for name, met in json.loads(file.read_text(encoding="utf-8")).items():
            for *values, count in met:
                if name not in GROUPS or tuple(values) not in GROUPS[name].bins:
                    raise FineqError(f"{file} has counts of {name}, {' x '.join(values)}, which is not declared")
                merged[name][tuple(values)] += count
    return merged


def as_json(counts: Counts) -> str:
    """As the file of one simulation."""
    document = {name: [[*met, count] for met, count in sorted(counter.items())] for name, counter in counts.items()}
    return json.dumps(document) + "\n"


def empty_bins(counts: Counts) -> list[tuple[str, Bin]]:
    """Bins that can occur and did not: group and values."""
    return [
        (name, values)
        for name, group in GROUPS.items()
        for values, reason in group.bins.items()
        if reason is None and not counts[name][values]
    ]


def summary(counts: Counts) -> str:
    """How many bins were hit, in a few words."""
    declared = sum(reason is None for group in GROUPS.values() for reason in group.bins.values())
    return f"{declared - len(empty_bins(counts))} of {declared} declared bins are hit"


def markdown(counts: Counts, command: str) -> str:
    """The report: a table by group, the bins that stayed empty, and those that cannot occur."""
    empty = empty_bins(counts)
    possible = {name: sum(reason is None for reason in group.bins.values()) for name, group in GROUPS.items()}
    rows: list[tuple[object, ...]] = []
    for name, group in GROUPS.items():
        left = sum(each == name for each, _ in empty)
        rows.append(
            (
                name,
                group.meaning,
                " x ".join(f"{axis} ({len(values)})" for axis, values in group.axes.items()),
                f"{possible[name] - left} of {possible[name]}",
                len(group.bins) - possible[name],
            )
        )
    head = ("group", "sampled when", "axes", "bins hit", "impossible")
    lines = [
        "# Functional coverage",
        "",
        f"Made by `{command}`:",
        f"{summary(counts)}. A bin is a crossing of all axes of its group; the groups are declared in",
        "`sim/fineq_sim/coverage`, the samples taken in the benches.",
        "",
        table(head, rows, "lllrr"),
        "## Empty bins",
        "",
    ]
    if empty:
        lines.append(table(("group", "bin"), [(name, " x ".join(values)) for name, values in empty]))
    else:
        lines.append("None.\n")
    reasons = Counter(
        (name, reason) for name, group in GROUPS.items() for reason in group.bins.values() if reason is not None
    )
    lines += ["## Bins that cannot occur", "", "One that occurs all the same fails its test.", ""]
    lines.append(table(("group", "bins", "why"), [(name, count, why) for (name, why), count in reasons.items()], "lrl"))
    return "\n".join(lines)
