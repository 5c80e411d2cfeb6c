"""Verdicts of benches and provers, kept: in files of this machine, and in the report of an earlier campaign.

A verdict is called after a hash of all that decides it, so it is found again only where all of that is unchanged.
One that a prover reached holds for any time limit, one that was not reached for as short a limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fineq.common.errors import FineqError
from fineq.common.files import write_text

UNKNOWN = "unknown"


class NotKept(Exception):
    """There is no verdict, and none is to be found now."""


class Verdicts:
    """What is known, by name.

    Args:
        directory: has a file for each; created.
        earlier: of an earlier campaign.

    Attributes:
        used: all that were asked for, or put there, since.
        made: how many of them were put there.
    """

    def __init__(self, directory: Path, earlier: Mapping[str, Any] | None = None) -> None:
        self.directory, self._earlier = directory, dict(earlier or {})
        self.used: dict[str, Any] = {}
        self.made = 0

    def get(self, name: str) -> Any:
        """A verdict as JSON; None if there is none."""
        file = self.directory / f"{name}.json"
        value = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else self._earlier.get(name)
        if value is not None:
            self.used[name] = value
        return value

    def put(self, name: str, value: Any) -> None:
        """Keep one."""
        self.directory.mkdir(parents=True, exist_ok=True)
        write_text(self.directory / f"{name}.json", json.dumps(value))
        self.used[name] = value
        self.made += 1

    def proven(self, name: str, limit_s: float, find: Callable[[], str]) -> str:
        """The verdict of a prover, or a new one.

        Args:
            name: a hash of everything but the limit.
            limit_s: after which `find` gives up with `UNKNOWN`.
            find: what is asked if nothing fits.
        """
        kept = self.get(name)
        if kept is not None:
            verdict, limit = kept
            if verdict != UNKNOWN or limit >= limit_s:
                return str(verdict)
        verdict = find()
        self.put(name, [verdict, limit_s])
        return verdict


def verdicts_of(report: Path) -> dict[str, Any]:
    """What the data of an earlier campaign carry; nothing if there is no such file.

    Raises:
        FineqError: it is no such file.
    """
    if not report.is_file():
        return {}
    try:
        found = json.loads(report.read_text(encoding="utf-8")).get("verdicts", {})
        if not isinstance(found, dict):
            raise TypeError("its verdicts are no object")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise FineqError(f"{report} is no report of mutants: {error}; name another one, or use --fresh") from None
    return found
