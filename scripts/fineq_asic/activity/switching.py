"""Switching activity of a flat netlist: how often every net toggles and how long it is high."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from fineq_asic.errors import SynthesisError
from fineq_asic.netlist.flat import NamedCell


@dataclass(frozen=True)
class Activity:
    """Activity by net number of a `FlatNetlist`.

    Attributes:
        toggles: transitions (rises and falls) per clock cycle, float64 [nets]; 2 for a running clock.
        high: share of time at one, float64 [nets].
        cycles: clock cycles observed, all lanes together.
        source: where the data came from, for the report.
    """

    toggles: np.ndarray
    high: np.ndarray
    cycles: int
    source: str = ""

    def __post_init__(self) -> None:
        if self.cycles <= 0:
            raise SynthesisError("the activity is empty: no clock cycle was recorded, simulate at least one")
        if not self.toggles.any():
            raise SynthesisError("the activity is empty: no net toggles, drive the netlist with data")


def write_saif(
    activity: Activity,
    cells: Iterable[NamedCell],
    top: str,
    clock_ns: float,
    path: Path,
) -> None:
    """Write a SAIF file with one entry per cell pin, for other power tools.

    Args:
        activity: counts to write.
        cells: every cell (`netlist.flat.named_cells`).
        top: name of the top instance.
        clock_ns: clock period; times are in ps.
        path: file to write.
    """
    duration = round(activity.cycles * clock_ns * 1000)
    tree: dict = {}
    for scope, _, pins in cells:
        node = tree
        for part in scope[:-1]:
            node = node.setdefault(part, {})
        node[scope[-1]] = list(pins.items())
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('(SAIFILE\n(SAIFVERSION "2.0")\n(DIRECTION "backward")\n(DIVIDER / )\n(TIMESCALE 1 ps)\n')
        file.write(f"(DURATION {duration})\n")
        _write_scope(file, top, tree, activity, duration)
        file.write(")\n")


def _write_scope(file: TextIO, name: str, node: dict | list, activity: Activity, duration: int) -> None:
    file.write(f"(INSTANCE {name}\n")
    if isinstance(node, list):
        file.write("(NET\n")
        for pin, net in node:
            high = round(float(activity.high[net]) * duration)
            count = round(float(activity.toggles[net]) * activity.cycles)
            file.write(f"({pin} (T0 {duration - high}) (T1 {high}) (TX 0) (TC {count}) (IG 0))\n")
        file.write(")\n")
    else:
        for child, child_node in node.items():
            _write_scope(file, child, child_node, activity, duration)
    file.write(")\n")
