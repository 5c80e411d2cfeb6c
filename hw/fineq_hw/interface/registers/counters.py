"""Performance counters: what they count, by how much at most, and where they stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fineq.format import MAX_MAGNITUDE
from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.registers.fields import Access, Register, whole


@dataclass(frozen=True)
class Counter:
    """A 64-bit performance counter. `largest_event`: by how much it grows in a cycle at most."""

    name: str
    text: str
    largest_event: Callable[[AcceleratorConfig], int] = lambda config: 1

    def event_bits(self, config: AcceleratorConfig) -> int:
        """Width of what is added in a cycle."""
        return self.largest_event(config).bit_length()


STAGES: dict[str, tuple[str, str]] = {
    "memory_access": (
        "a word moves on the read data channel of the bus",
        "reads are asked for or outstanding and no word moves",
    ),
    "decode": (
        "a decoded weight line is written into the weight buffer",
        "the job has lines left to decode, or has just written its last one, and none is written",
    ),
    "preload": (
        "an activation row moves into the array",
        "the array waits for an activation row and none is there",
    ),
    "multiply": (
        "the array executes a step",
        "the array holds activations and executes no step, for want of weights or partial sums, because its "
        "results are not taken, or (MAC array) while the last results leave it",
    ),
    "vector": (
        "a group of sums moves into the vector unit",
        "a group of sums is on offer and the vector unit does not take it",
    ),
    "write_back": (
        "a word moves on the write data channel of the bus",
        "a word is on offer on the write data channel and the memory does not take it",
    ),
}
"""The six stages: when each is busy, and when it is stalled. Otherwise it has nothing to do."""

COUNTERS: tuple[Counter, ...] = (
    Counter("cycles", "Cycles in which the machine was busy (STATUS)."),
    *(
        Counter(f"{stage}_{what}", f"Cycles in which {text}.")
        for stage, texts in STAGES.items()
        for what, text in zip(("busy", "stall"), texts, strict=True)
    ),
    Counter("weight_vectors", "Weight vectors that the array has taken."),
    Counter(
        "terminated_cycles",
        "Steps saved by early termination: what the array's weight vectors would have taken at full length, less what "
        "they took. Zero with a MAC array.",
        lambda config: MAX_MAGNITUDE,
    ),
    Counter("tiles", "Fillings of the array with activations."),
    Counter(
        "bytes_read", "Bytes that moved on the read data channel, whole bus words.", lambda config: config.bus_bytes
    ),
    Counter(
        "bytes_written",
        "Bytes that were written: strobes set on the write data channel.",
        lambda config: config.bus_bytes,
    ),
    Counter("jobs", "Jobs finished."),
)
"""Performance counters in the order of their registers."""

COUNTERS_OFFSET = 0x100


def counter_offset(name: str) -> int:
    """Address of the low word of a counter; reading it holds the high word, at the next address, for the next read.

    Raises:
        ValueError: there is no such counter.
    """
    names = [counter.name for counter in COUNTERS]
    if name not in names:
        raise ValueError(f"there is no counter {name!r}: choose one of {', '.join(names)}")
    return COUNTERS_OFFSET + 8 * names.index(name)


COUNTER_REGISTERS: tuple[Register, ...] = tuple(
    Register(
        f"COUNTER_{counter.name.upper()}", counter_offset(counter.name), counter.text, whole(Access.RO, bits=64), 64
    )
    for counter in COUNTERS
)
