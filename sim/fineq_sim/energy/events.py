"""What cycles of an array other than full steps take, from array-energy-<size>.json of `fineq array-energy`.

Each is a share of a full step of the same netlist in the same report. A report has few sizes: an array of another size
gets the shares of the same kind of array, and its own energy of a step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fineq.common.errors import FineqError

EMPTY_ROWS = ("old", "zeroed")
"""What rows without a token hold: what they held before, as the machine leaves them, or zeros, as software may load."""


class EventReportError(FineqError):
    """A report that cannot be read; the text says which."""


@dataclass(frozen=True)
class EventShares:
    """Dynamic energy of one cycle, as a share of that of a step with a token in every row.

    Attributes:
        source: report and design that it stands in.
        kind: of the array, whatever its size (`kind_of`).
        rows: of the array that was measured.
        one_old: a step with one token, the other rows with an old tile.
        no_token: a step with zeros in all rows.
        preload: a row of activations enters.
        idle: the clock runs, nothing is on offer.
        stalled: results wait.
    """

    source: str
    kind: str
    rows: int
    one_old: float
    no_token: float
    preload: float
    idle: float
    stalled: float

    @property
    def waiting(self) -> float:
        """A cycle without a step or a load, whatever is waited for: the smaller one of `idle` and `stalled`.

        No counter says which of them it is, and an array that gates its clock in one can do so in the other.
        """
        return min(self.idle, self.stalled)

    def step(self, filled: float, empty_rows: str) -> float:
        """A step with tokens in a share of the rows: on the line between what was measured.

        Args:
            filled: share of the rows that hold a token, above 0 to 1.
            empty_rows: one of `EMPTY_ROWS`.
        """
        if empty_rows == "zeroed":
            return self.no_token + (1 - self.no_token) * filled
        empty = 1 - (1 - self.one_old) * self.rows / (self.rows - 1)
        return empty + (1 - empty) * filled


def kind_of(top: str, rows: int, columns: int) -> str:
    """What the names of designs of the same kind and different sizes have in common."""
    return top.replace(f"{rows}x{columns}", "*", 1)


def read_event_shares(directory: Path) -> dict[str, EventShares]:
    """Shares by top of the design, of all reports of a directory; empty if there is none.

    Raises:
        EventReportError: a report cannot be read.
    """
    found = {}
    for path in sorted(directory.glob("array-energy-*.json")):
        try:
            for design in json.loads(path.read_text(encoding="utf-8"))["designs"]:
                found[design["top"]] = _shares(design, path.name)
        except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            raise EventReportError(f"cannot read {path} as a report of `fineq array-energy`: {error!r}") from error
    return found


def _shares(design: Mapping[str, Any], source: str) -> EventShares:
    energy = {name: float(event["pj"]) for name, event in design["events"].items()}
    full = energy["step"]
    return EventShares(
        f"{design['top']} in {source}",
        kind_of(design["top"], design["rows"], design["columns"]),
        int(design["rows"]),
        energy["step_stale"] / full,
        energy["step_zero"] / full,
        energy["preload"] / full,
        energy["idle"] / full,
        energy["stalled"] / full,
    )


def shares_of(shares: Mapping[str, EventShares], top: str, kind: str) -> EventShares | None:
    """Those of a design, else of the first one of its kind in another size; None: none was measured."""
    return shares.get(top) or next((each for each in shares.values() if each.kind == kind), None)
