"""The energy of a job: counters times energies. Components that nobody has measured are named, not guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fineq_hw.config import AcceleratorConfig
from fineq_sim.energy.dram import PUBLISHED
from fineq_sim.energy.events import EMPTY_ROWS
from fineq_sim.energy.memories import accesses, memories_of
from fineq_sim.energy.sram import CELLS, SLICE_BITS, WIDTHS, sram_figures
from fineq_sim.energy.synthesis import SynthesisedArray

NOT_MEASURED: tuple[str, ...] = (
    "the logic around the array: engines, descriptors, vector unit, selection around the buffers",
)
"""What the energy of every run leaves out, because no report of the repository has it."""

NO_EVENTS: tuple[str, ...] = (
    "the array's clock and registers in cycles without a step (waiting, loading rows)",
    "rows of the array that hold no token: counted as if they held one",
    "loading an activation row into the array",
)
"""What it leaves out beside that for a kind of array without a report of `fineq array-energy`."""

ARRAY, ARRAY_LOADING, ARRAY_WAITING, ARRAY_LEAKAGE, SRAM, SRAM_LEAKAGE, OTHER = (
    "array, steps",
    "array, loading",
    "array, waiting",
    "array, leakage",
    "SRAM, accesses",
    "SRAM, leakage",
    "attention and head unit",
)
OF_ARRAY = (ARRAY, ARRAY_LOADING, ARRAY_WAITING, ARRAY_LEAKAGE)
COMPONENTS = (*OF_ARRAY, SRAM, SRAM_LEAKAGE, OTHER)
"""On the chip; DRAM stands beside, once for each published figure."""

_KINDS = tuple((cell, widest) for widest in (SLICE_BITS, WIDTHS[-1]) for cell in CELLS)
"""Kinds of cells, in slices and in one; the first one is the study's."""


@dataclass(frozen=True)
class Energy:
    """Of a run, in J.

    Attributes:
        chip: by component.
        dram: by name of the figure.
        sram_range: what SRAM, leakage included, takes at least and at most over all kinds of cells, in slices or not.
        unit_known: the attention unit's energy is in it, or there was nothing for it to do.
    """

    chip: Mapping[str, float] = field(default_factory=dict)
    dram: Mapping[str, float] = field(default_factory=dict)
    sram_range: tuple[float, float] = (0.0, 0.0)
    unit_known: bool = True

    @property
    def on_chip(self) -> float:
        return sum(self.chip.values())

    @property
    def total_range(self) -> tuple[float, float]:
        """With the lowest and the highest DRAM figure."""
        outside = tuple(self.dram.values()) or (0.0,)
        return self.on_chip + min(outside), self.on_chip + max(outside)

    def __add__(self, other: Energy) -> Energy:
        return Energy(
            {name: self.chip.get(name, 0) + other.chip.get(name, 0) for name in COMPONENTS},
            {name: self.dram.get(name, 0) + other.dram.get(name, 0) for name in self.dram | other.dram},  # type: ignore[operator]
            (self.sram_range[0] + other.sram_range[0], self.sram_range[1] + other.sram_range[1]),
            self.unit_known and other.unit_known,
        )

    def times(self, count: float) -> Energy:
        """Of so many runs."""
        return Energy(
            {name: count * value for name, value in self.chip.items()},
            {name: count * value for name, value in self.dram.items()},
            (count * self.sram_range[0], count * self.sram_range[1]),
            self.unit_known,
        )


def not_measured(arrays: Iterable[SynthesisedArray]) -> tuple[str, ...]:
    """What the energies of machines with these arrays leave out, and for which of them."""
    without = list(dict.fromkeys(each.title for each in arrays if each.events is None))
    return (*(f"{each} ({', '.join(without)})" for each in NO_EVENTS if without), *NOT_MEASURED)


class EnergyModel:
    """Energies of one machine.

    Args:
        config: the machine.
        array: its array, synthesised.
        clock_mhz: of the machine.
        unit_pj_per_mac: of the unit for attention and head; None: not known.
        dram: pJ/bit by name; None: the published figures.
        empty_rows: what rows without a token hold, one of `EMPTY_ROWS`.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        array: SynthesisedArray,
        clock_mhz: float,
        unit_pj_per_mac: float | None = None,
        dram: Mapping[str, float] | None = None,
        empty_rows: str = EMPTY_ROWS[0],
    ) -> None:
        self.config, self.array, self.unit_pj_per_mac = config, array, unit_pj_per_mac
        self.empty_rows = empty_rows
        self.cycle_s = 1e-6 / clock_mhz
        self.dram = dict(dram) if dram else {each.name: each.picojoules_per_bit for each in PUBLISHED}
        self._memories = memories_of(config)
        self._figures = {
            kind: {name: sram_figures(*memory.size, *kind) for name, memory in self._memories.items()}
            for kind in _KINDS
        }
        self._leakage = {
            kind: sum(each.count * self._figures[kind][name].leakage for name, each in self._memories.items()) * 1e-3
            for kind in _KINDS
        }

    @property
    def sram_area_mm2(self) -> float:
        """Of all memories, with the study's cells."""
        return sum(each.count * self._figures[_KINDS[0]][name].area for name, each in self._memories.items())

    def layer(
        self, shape: tuple[int, int, int], cycles: float, counters: Mapping[str, int], inner_parts: int = 1
    ) -> Energy:
        """Of a layer on the array.

        Args:
            shape: M, N, K.
            cycles: that it takes.
            counters: those that need no time.
            inner_parts: jobs that its inputs were cut into.
        """
        seconds = cycles * self.cycle_s
        sram, leakage = {}, {}
        used = accesses(self.config, *shape, counters, inner_parts)
        for kind in _KINDS:
            figures = self._figures[kind]
            sram[kind] = 1e-12 * sum(
                reads * figures[name].read + writes * figures[name].write for name, (reads, writes) in used.items()
            )
            leakage[kind] = self._leakage[kind] * seconds
        together = [sram[kind] + leakage[kind] for kind in _KINDS]
        return Energy(
            {
                **self._array_cycles(shape[0], cycles, counters["multiply_busy"], counters["preload_busy"]),
                ARRAY_LEAKAGE: self.array.leakage_w * seconds,
                SRAM: sram[_KINDS[0]],
                SRAM_LEAKAGE: leakage[_KINDS[0]],
                OTHER: 0.0,
            },
            self._dram(counters["bytes_read"] + counters["bytes_written"]),
            (min(together), max(together)),
        )

    def other(self, macs: int, cycles: float, moved_bytes: float) -> Energy:
        """Of the unit for attention and head, while the array waits and leaks.

        Args:
            macs: multiply-accumulates.
            cycles: that it takes.
            moved_bytes: over the bus.
        """
        seconds = cycles * self.cycle_s
        idle = {kind: self._leakage[kind] * seconds for kind in _KINDS}
        return Energy(
            {
                **self._array_cycles(0, cycles, 0, 0),
                ARRAY_LEAKAGE: self.array.leakage_w * seconds,
                SRAM: 0.0,
                SRAM_LEAKAGE: idle[_KINDS[0]],
                OTHER: macs * (self.unit_pj_per_mac or 0.0) * 1e-12,
            },
            self._dram(moved_bytes),
            (min(idle.values()), max(idle.values())),
            self.unit_pj_per_mac is not None or not macs,
        )

    def _array_cycles(self, tokens: int, cycles: float, steps: int, loads: int) -> dict[str, float]:
        """Dynamic energy of the array in J: every cycle is a step, loads a row, or waits."""
        picojoules, events = self.array.step_pj * 1e-12, self.array.events
        if events is None:
            return {ARRAY: steps * picojoules, ARRAY_LOADING: 0.0, ARRAY_WAITING: 0.0}
        rows = self.config.array.rows
        filled = tokens / (-(-tokens // rows) * rows) if tokens else 1.0
        return {
            ARRAY: steps * picojoules * events.step(filled, self.empty_rows),
            ARRAY_LOADING: loads * picojoules * events.preload,
            ARRAY_WAITING: max(cycles - steps - loads, 0) * picojoules * events.waiting,
        }

    def _dram(self, moved_bytes: float) -> dict[str, float]:
        return {name: 8e-12 * moved_bytes * value for name, value in self.dram.items()}
