"""Chrome trace events of watched layers for ui.perfetto.dev: a process a layer, a thread a stage; 1 us is a cycle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from fineq_hw.interface.registers import STAGES
from fineq_sim.tracing.watch import STATES, Watched

WINDOW = 256
"""Cycles over which the counter track of the bus is summed up."""


def trace_text(layers: Sequence[tuple[str, Watched]], about: Mapping[str, str]) -> str:
    """The trace.

    Args:
        layers: names and what was seen, one after the other in time.
        about: shown as the trace's own data.
    """
    events: list[dict[str, object]] = []
    begin = 0
    for process, (name, watched) in enumerate(layers, 1):
        events.append({"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": name}})
        for thread, stage in enumerate(STAGES, 1):
            label = stage.replace("_", " ")
            events.append({"ph": "M", "name": "thread_name", "pid": process, "tid": thread, "args": {"name": label}})
        for stage_number, state, first, length in watched.runs.tolist():
            events.append(
                {
                    "ph": "X",
                    "name": STATES[state],
                    "pid": process,
                    "tid": stage_number + 1,
                    "ts": begin + first,
                    "dur": length,
                }
            )
        events += [
            {
                "ph": "C",
                "name": f"bus words read in {WINDOW} cycles",
                "pid": process,
                "ts": begin + time,
                "args": {"words": words},
            }
            for time, words in _bus_words(watched)
        ]
        begin += watched.cycles
    document = {
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {"unit": "1 us is one cycle"} | dict(about),
    }
    return json.dumps(document, separators=(",", ":")) + "\n"


def _bus_words(watched: Watched) -> list[tuple[int, int]]:
    """Words that the memory gave in each window."""
    bus = list(STAGES).index("memory_access")
    busy = watched.runs[(watched.runs[:, 0] == bus) & (watched.runs[:, 1] == STATES.index("busy"))]
    moved = np.zeros(watched.cycles + 1, dtype=np.int64)
    np.add.at(moved, busy[:, 2], 1)
    np.add.at(moved, busy[:, 2] + busy[:, 3], -1)
    words = np.cumsum(moved)[: watched.cycles]
    starts = np.arange(0, watched.cycles, WINDOW)
    return list(zip(starts.tolist(), np.add.reduceat(words, starts).tolist(), strict=True)) if len(starts) else []
