"""Points that are kept: a line of JSON each, by a hash of everything that they depend on, so that a run can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fineq.common.cache_keys import cache_key
from fineq.common.errors import FineqError
from fineq_sim.explore.points import Exploration, measurements


class Store:
    """The points of a file.

    Args:
        path: of the file; it need not exist.
        exploration: that the points belong to.

    Raises:
        FineqError: the file is no such store.
    """

    def __init__(self, path: Path, exploration: Exploration) -> None:
        self.path = path
        work = [
            [each.name, [[one.name, one.tokens, one.channels, one.inner, one.count] for one in each.linears]]
            for each in exploration.workload.passes
        ]
        inputs: list[Any] = [exploration.space.base, work, exploration.steps]
        self._common = cache_key("fineq_sim.explore.points", inputs=inputs, files=measurements(exploration.results))
        self._known: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._read()

    def _read(self) -> None:
        lines = self.path.read_bytes().split(b"\n")
        whole, rest = lines[:-1], lines[-1]
        for number, line in enumerate(whole, 1):
            try:
                entry = json.loads(line)
                self._known[entry["key"]] = entry["found"]
            except (ValueError, KeyError, TypeError) as error:
                raise FineqError(f"{self.path}, line {number} is no point: remove the file, or name another") from error
        if rest:  # a run was killed while it wrote
            with self.path.open("r+b") as file:
                file.truncate(self.path.stat().st_size - len(rest))

    def key(self, point: Mapping[str, Any]) -> str:
        """Of a point."""
        text = json.dumps([self._common, dict(point)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def find(self, point: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was found of a point; None: it has not been measured."""
        return self._known.get(self.key(point))

    def add(self, point: Mapping[str, Any], found: dict[str, Any]) -> None:
        """Keep a point at once."""
        key = self.key(point)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(json.dumps({"key": key, "point": dict(point), "found": found}).encode() + b"\n")
        self._known[key] = found
