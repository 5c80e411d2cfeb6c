"""What a synthesis run has found: one `Result` per design, one `SynthesisRun` per size, and the paper's own figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fineq_asic.flows.sizes import SizeRun
from fineq_asic.mapping.designs import BLOCKS, OUTSIDE_ARRAY, CoreDesign
from fineq_asic.power.liberty_power import Power, total_power
from fineq_asic.timing.opensta import TimingReport
from fineq_hw.config import ArrayConfig, MacConfig

PAPER_ELEMENTS = 64 * 64
PAPER_AREA_MM2 = {"systolic array": 0.954, "FineQ decoder": 0.008, "FineQ PE array": 0.370}
PAPER_POWER_MW = {"systolic array": 88.793, "FineQ decoder": 0.187, "FineQ PE array": 32.891}
"""Table III of the paper: 64 x 64, a commercial 45 nm flow at 400 MHz."""

POWER_KINDS = ("internal", "switching", "leakage", "total")


@dataclass(frozen=True)
class GlitchShare:
    """What a run with delays adds to the same cycles without.

    Attributes:
        factors: power with delays as a multiple of the power without, by block; leakage is close to 1.
        extra_transitions: transitions that do not last to the end of the cycle, as a share of those that do.
        settle_ns: when the last net came to rest in the worst cycle that was played.
        cycles: cycles played, all runs together.
    """

    factors: dict[str, Power]
    extra_transitions: float
    settle_ns: float
    cycles: int

    def apply(self, block: str, power: Power) -> Power:
        """Power of a block with its glitches."""
        factor = self.factors.get(block)
        if factor is None:
            return power
        return Power(
            power.internal * factor.internal, power.switching * factor.switching, power.leakage * factor.leakage
        )


@dataclass(frozen=True)
class Result:
    """What was found out about one design.

    Attributes:
        design: which.
        cells, registers: number of cells and, among them, of flip-flops and latches.
        area: cell area in µm² by block.
        timing: setup and hold.
        effort: mapping effort that met the clock.
        power: W by block; every net settles once a cycle.
        power_independent: W in total with the register states taken as OpenSTA takes them (docs/flows/synthesis.md).
        glitches: what transitions that do not last add to it.
        cycles_per_vector: measured in the gate-level run.
        checked: results of the gate-level run that were compared with the integer reference.
        known: results of a run with unknown initial values; all of them came out known and right. 0: not run.
    """

    design: CoreDesign
    cells: int
    registers: int
    area: dict[str, float]
    timing: TimingReport
    effort: str
    power: dict[str, Power]
    power_independent: Power
    glitches: GlitchShare
    cycles_per_vector: float
    checked: int
    known: int = 0

    @property
    def encoding(self) -> str:
        """Encoding of a FineQ design; empty for a MAC array, which has none."""
        return self.design.config.encoding if isinstance(self.design.config, ArrayConfig) else ""

    @property
    def total_area(self) -> float:
        return sum(self.area.values())

    @property
    def array_area(self) -> float:
        """Without what stands in front of the array: decoders and slice multiplexer."""
        return sum(area for block, area in self.area.items() if block not in OUTSIDE_ARRAY)

    @property
    def decoder_share(self) -> float:
        """Area of the decoders as a share of the array's."""
        return self.area.get("decoders", 0.0) / self.array_area

    @property
    def total_power(self) -> Power:
        return total_power(self.power)

    @property
    def power_with_glitches(self) -> dict[str, Power]:
        """W by block."""
        return {block: self.glitches.apply(block, power) for block, power in self.power.items()}

    @property
    def total_power_with_glitches(self) -> Power:
        return total_power(self.power_with_glitches)

    @property
    def area_per_element(self) -> float:
        return self.total_area / self.design.elements

    @property
    def area_cycles(self) -> float:
        """µm² x cycles per multiply-accumulate: the area that one MAC per cycle takes."""
        return self.area_per_element * self.cycles_per_vector

    def energy(self, power: Power) -> float:
        """J per multiply-accumulate at a power in W."""
        vector_time = self.cycles_per_vector * self.timing.clock_ns * 1e-9
        return power.total * vector_time / self.design.elements

    @property
    def energy_per_mac(self) -> float:
        """J per multiply-accumulate, without glitches."""
        return self.energy(self.total_power)

    @property
    def energy_per_mac_with_glitches(self) -> float:
        return self.energy(self.total_power_with_glitches)

    def as_dict(self) -> dict:
        """For the JSON report."""
        config = self.design.config
        parameters = {"encoding": config.encoding} if isinstance(config, ArrayConfig) else {}
        return {
            "top": self.design.top,
            "title": self.design.title,
            "rows": config.rows,
            "columns": config.columns,
            **parameters,
            "cells": self.cells,
            "registers": self.registers,
            "area_um2": {block: round(area, 3) for block, area in ordered(self.area).items()},
            "area_total_um2": round(self.total_area, 3),
            "area_per_element_um2": round(self.area_per_element, 3),
            "decoder_share": round(self.decoder_share, 5),
            "clock_ns": self.timing.clock_ns,
            "mapping_effort": self.effort,
            "worst_slack_ns": self.timing.worst_slack_ns,
            "hold_slack_ns": self.timing.hold_slack_ns,
            "latch_margin_ns": self.timing.latch_margin_ns,
            "max_clock_mhz": round(self.timing.max_clock_mhz, 1),
            "worst_path": list(self.timing.path),
            "power_w": _powers(self.power, self.total_power),
            "power_with_glitches_w": _powers(self.power_with_glitches, self.total_power_with_glitches),
            "power_independent_w": _power_dict(self.power_independent),
            "extra_transitions": round(self.glitches.extra_transitions, 4),
            "settle_ns": round(self.glitches.settle_ns, 4),
            "cycles_with_delays": self.glitches.cycles,
            "cycles_per_vector": round(self.cycles_per_vector, 4),
            "area_cycles_per_mac_um2": round(self.area_cycles, 3),
            "energy_per_mac_pj": round(self.energy_per_mac * 1e12, 5),
            "energy_per_mac_with_glitches_pj": round(self.energy_per_mac_with_glitches * 1e12, 5),
            "results_checked": self.checked,
            "results_known_after_reset": self.known,
        }


@dataclass(frozen=True)
class DataCycles:
    """Mean cycles per weight vector on a data set by encoding; `model` and `recipe` as `DataSet` has them."""

    model: str
    recipe: str
    by_encoding: dict[str, float]


@dataclass(frozen=True)
class SynthesisRun(SizeRun):
    """A whole run.

    Attributes:
        results: one per design.
        cycles: of every data set, by its description.
    """

    results: Sequence[Result]
    cycles: dict[str, DataCycles]

    @property
    def arrays(self) -> list[Result]:
        """The FineQ designs."""
        return [result for result in self.results if isinstance(result.design.config, ArrayConfig)]

    @property
    def narrow_macs(self) -> list[Result]:
        """MAC arrays with 3-bit weights: the hard baselines."""
        macs = [(result, result.design.config) for result in self.results]
        return [result for result, config in macs if isinstance(config, MacConfig) and config.weight_bits == 3]

    @property
    def baseline(self) -> Result | None:
        """The smallest MAC array with 3-bit weights: the hardest baseline."""
        return min(self.narrow_macs, key=lambda r: r.total_area, default=None)

    def cycles_of(self, result: Result, data: str) -> float:
        """Mean cycles per weight vector of a design on a data set; a MAC array always takes one."""
        if isinstance(result.design.config, MacConfig):
            return 1.0
        return self.cycles[data].by_encoding[result.design.config.encoding]


def ordered(blocks: dict) -> dict:
    """The same in the order of `BLOCKS`."""
    return {block: blocks[block] for block in (*BLOCKS, *sorted(set(blocks) - set(BLOCKS))) if block in blocks}


def _powers(blocks: dict[str, Power], total: Power) -> dict[str, dict[str, float]]:
    return {block: _power_dict(value) for block, value in ordered(blocks).items()} | {"total": _power_dict(total)}


def _power_dict(power: Power) -> dict[str, float]:
    return {name: float(f"{getattr(power, name):.6g}") for name in POWER_KINDS}
