"""Signals of a recorded waveform (VCD), one sample a clock cycle.

Read by hand: Verilator writes names that pyvcd's reader refuses, and almost all changes belong to other signals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np


def read_signals(file: Path, names: Sequence[str], clock: str = "clk") -> dict[str, np.ndarray]:
    """Sample signals of a waveform just before each rising edge of the clock.

    Args:
        file: VCD file.
        names: signals by their path without the top module, such as `core.computing`; scalars or vectors.
        clock: path of the clock.

    Returns:
        int64 [cycles] for each name; undefined values count as 0.

    Raises:
        ValueError: the waveform lacks a signal.
    """
    scopes: list[str] = []
    identifiers: dict[bytes, list[str]] = {}
    wanted = {*names, clock}
    found: set[str] = set()
    values = dict.fromkeys(wanted, 0)
    samples: dict[str, list[int]] = {name: [] for name in names}
    pending: dict[str, int] = {}

    def settle() -> None:
        """End a time step: what the clock edge sees are the values from before it."""
        if pending.get(clock) and not values[clock]:
            for signal in names:
                samples[signal].append(values[signal])
        values.update(pending)
        pending.clear()

    header, _, changes = file.read_bytes().partition(b"$enddefinitions $end")
    for declaration in header.decode("ascii", errors="replace").split("$end"):
        words = declaration.split()
        if words[:1] == ["$scope"]:
            scopes.append(words[2])
        elif words[:1] == ["$upscope"]:
            scopes.pop()
        elif words[:1] == ["$var"]:
            # Simulators put scopes of their own around the top module.
            path = [*scopes, words[4]]
            for name in wanted - found:
                if path[-len(name.split(".")) :] == name.split(".") and len(path) <= name.count(".") + 3:
                    identifiers.setdefault(words[3].encode(), []).append(name)
                    found.add(name)
    for line in changes.splitlines():
        if line[:1] == b"#":
            settle()
            continue
        value, _, identifier = line.partition(b" ") if line[:1] in b"bB" else (line[:1], b"", line[1:])
        for name in identifiers.get(identifier, ()):
            digits = value.lstrip(b"bB")
            pending[name] = int(digits, 2) if digits and not digits.strip(b"01") else 0
    settle()
    if wanted - found:
        raise ValueError(f"{file.name} has no signal {', '.join(sorted(wanted - found))}: record it with WAVES=1")
    return {name: np.array(levels, dtype=np.int64) for name, levels in samples.items()}


def runs(levels: np.ndarray) -> Iterator[tuple[int, int]]:
    """Stretches of nonzero samples as (first, length)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (levels != 0).astype(np.int8), [0]])))
    yield from ((int(first), int(end - first)) for first, end in edges.reshape(-1, 2))
