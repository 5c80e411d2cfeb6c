"""When the memory at the accelerator's AXI4 port takes and gives words; what it means in time is memory_timing.hpp.

The verilated machine and the cycle-level twin (`fineq_sim.perf`) include the same header, so both meet the same memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CODE_FILES = ("memory_timing.hpp",)

TIMING_HEADER = Path(__file__).with_name(*CODE_FILES)

TICKS = 1024
"""Units of time in a cycle."""

STALL_STEPS = 0x10000
"""Chances of a stall are counted in parts of this, a power of two."""


@dataclass(frozen=True)
class DramPart:
    """A DRAM channel at work: one open row a bank, one data bus. Times in ns.

    Attributes:
        name: the part.
        gigabytes_per_second: its data bus at full speed.
        banks, row_bytes: the banks, bytes of an open row of the channel.
        row_to_column, precharge, column, row_open: tRCD, tRP, tCAS (CL), tRAS.
        refresh_interval, refresh: tREFI, tRFC.
        turnaround: between a read and a write on the data bus.
    """

    name: str
    gigabytes_per_second: float
    banks: int
    row_bytes: int
    row_to_column: float
    precharge: float
    column: float
    row_open: float
    refresh_interval: float
    refresh: float
    turnaround: float


DRAM_PARTS: dict[str, DramPart] = {
    part.name: part
    for part in (
        DramPart("DDR4-2400 x16", 4.8, 8, 2048, 13.32, 13.32, 13.32, 32.0, 7800.0, 350.0, 7.5),
        DramPart("LPDDR4-3200 x16", 6.4, 8, 2048, 18.0, 18.0, 17.5, 42.0, 3904.0, 280.0, 10.0),
        DramPart("LPDDR5-6400 x16", 12.8, 16, 2048, 18.0, 18.0, 21.25, 42.0, 3906.0, 280.0, 10.0),
        DramPart("HBM2 pseudo channel", 16.0, 16, 1024, 14.0, 14.0, 14.0, 34.0, 3900.0, 260.0, 7.5),
    )
}
"""Usual figures of these speed grades, with 8 Gb a die.

They have not been checked against JESD79-4, JESD209-4, JESD209-5 and JESD235: good for what changes with a DRAM, not
for the time of a part that one can buy.
"""


_DRAM_NUMBERS = (
    "banks",
    "row_bytes",
    "row_to_column",
    "precharge",
    "column",
    "row_open",
    "refresh_interval",
    "refresh",
    "turnaround",
)


@dataclass(frozen=True)
class MemoryTiming:
    """A memory in time.

    Attributes:
        latency: cycles from the address of a burst to its first word, from its last word to its answer; with a `dram`
            what the way there and back takes beside it.
        words_per_cycle: bus words that move in a cycle at most, in each direction, above 0 and at most 1; of a memory
            without `dram`.
        stall: chance, 0 to 1, that a channel of the memory port rests for a cycle.
        seed: of the stalls.
        dram: None: any word may come at any time.
        clock_mhz: of the accelerator; what DRAM times are counted in.

    Raises:
        ValueError: a number that cannot be; the sentence says what may be.
    """

    latency: int = 1
    words_per_cycle: float = 1.0
    stall: float = 0.0
    seed: int = 1
    dram: DramPart | None = None
    clock_mhz: float = 400.0

    def __post_init__(self) -> None:
        if not 0 <= self.stall < 1:
            raise ValueError(f"stall is {self.stall}: a share of cycles from 0 to below 1")
        if self.latency < 1:
            raise ValueError(f"latency is {self.latency}: a memory takes at least one cycle")
        if not 1 / TICKS <= self.words_per_cycle <= 1:
            raise ValueError(f"words_per_cycle is {self.words_per_cycle}: above 0 (1/{TICKS} at least) and at most 1")
        if self.dram is not None and self.words_per_cycle != 1:
            raise ValueError("words_per_cycle is for a memory without dram: a part has its own speed")
        if self.clock_mhz <= 0:
            raise ValueError(f"clock_mhz is {self.clock_mhz}: the clock must be above 0 MHz")

    def _ticks(self, nanoseconds: float) -> int:
        return round(nanoseconds * self.clock_mhz * TICKS / 1000)

    def named_numbers(self, bus_bytes: int) -> dict[str, int]:
        """The numbers of `FINEQ_MEMORY` in the header, in its order.

        Args:
            bus_bytes: of a word of the accelerator's bus.
        """
        part = self.dram
        numbers = {
            "cycle_ticks": TICKS,
            "latency": self.latency,
            "stall_steps": STALL_STEPS,
            "stall": round(self.stall * STALL_STEPS),
            "seed": self.seed,
        }
        if part is None:
            return numbers | {"word_ticks": round(TICKS / self.words_per_cycle)} | dict.fromkeys(_DRAM_NUMBERS, 0)
        return numbers | {
            "word_ticks": self._ticks(bus_bytes / part.gigabytes_per_second),
            "banks": part.banks,
            "row_bytes": part.row_bytes,
            **{name: self._ticks(getattr(part, name)) for name in _DRAM_NUMBERS[2:]},
        }

    def numbers(self, bus_bytes: int) -> tuple[int, ...]:
        """Without their names."""
        return tuple(self.named_numbers(bus_bytes).values())
