"""Energy of an array by event: steps, preload beats, idle and stalled cycles, rows without a token.

Netlists, data, power engine and runs with delays are those of `fineq_asic.flows.synthesis`; what is new is that every
kind of cycle is recorded for itself (`fineq_asic.activity.event_runs`).
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.files import write_bytes
from fineq_asic.activity.core_driver import CoreWork
from fineq_asic.activity.event_runs import MOVING, Event, EventOptions, run_events
from fineq_asic.activity.workload import DataSet, make_tiles
from fineq_asic.flows.results import ordered
from fineq_asic.flows.sizes import Order, SizeRun, netlists
from fineq_asic.flows.synthesis import measure_glitches, power_options, warm_up_cycles
from fineq_asic.mapping.blocks import attribute_blocks
from fineq_asic.mapping.closure import Mapped, Progress, Steps, Tools
from fineq_asic.mapping.designs import CoreDesign
from fineq_asic.netlist.flat import flatten
from fineq_asic.power.liberty_power import Power, PowerEngine
from fineq_asic.timing.opensta import Constraints

EVENT_CYCLES = 16
"""Cycles of each kind of step, in 64 runs; a few of the runs are played once more with delays."""


@dataclass(frozen=True)
class EventEnergy:
    """What one cycle of an event takes, leakage left out.

    Attributes:
        picojoules: by block, glitches counted.
        settled: the same without glitches, all blocks together.
        cycles: recorded, all runs together.
    """

    picojoules: Mapping[str, float]
    settled: float
    cycles: int

    @property
    def total(self) -> float:
        """Of all blocks, pJ."""
        return sum(self.picojoules.values())


@dataclass(frozen=True)
class ArrayEnergy:
    """A design's energies by event.

    Attributes:
        design: which.
        leakage_w: of the whole core, all rows computing.
        events: by event.
    """

    design: CoreDesign
    leakage_w: float
    events: Mapping[Event, EventEnergy]

    @property
    def one_row_off(self) -> float:
        """How far one row with a token is from the line between none and all, as a share of a full step."""
        none, one, full = (self.events[each].total for each in (Event.STEP_ZERO, Event.STEP_ONE, Event.STEP))
        return (one - (none + (full - none) / self.design.config.rows)) / full


@dataclass(frozen=True)
class ArrayEnergyRun(SizeRun):
    """All designs of a size.

    Attributes:
        results: one per design.
    """

    results: Sequence[ArrayEnergy]


def measure_events(
    mapped: Mapped, data: DataSet, tools: Tools, constraints: Constraints, progress: Progress, lanes: int = 4
) -> ArrayEnergy:
    """Energies of one netlist.

    Args:
        mapped: the netlist.
        data: weights and activations.
        tools: library and OpenSTA.
        constraints: clock and environment.
        progress: called with a line after each step.
        lanes: runs that are played with delays.

    Raises:
        SynthesisError: the netlist is wrong or does not settle.
    """
    design = mapped.design
    steps = Steps(design.top, progress)
    library = tools.library
    flat = flatten(mapped.netlist, library, attribute_blocks(mapped.netlist, library, mapped.manifest))
    engine = PowerEngine(flat, library, tools.wire_load, power_options(constraints))
    warm_up = warm_up_cycles(design)
    first, second, third = (make_tiles(data, design.config, warm_up + EVENT_CYCLES, seed) for seed in range(3))
    records = run_events(
        flat,
        CoreWork(design.config, first, design.packed),
        (second, third),
        EventOptions(warm_up, EVENT_CYCLES, data.source),
    )
    steps.done(f"{len(records)} events recorded, every result bit-exact")
    found: dict[Event, EventEnergy] = {}
    leakage = 0.0
    for event, record in records.items():
        power = engine.evaluate(record.activity)
        settled = _picojoules(power, constraints.clock_ns)
        if event == Event.STEP:
            leakage = sum(each.leakage for each in power.values())
        if event in MOVING:
            glitches = measure_glitches(flat, engine, record.trace, constraints, lanes)
            power = {block: glitches.apply(block, each) for block, each in power.items()}
        energies = _picojoules(power, constraints.clock_ns)
        blocks = {block: value for block, value in ordered(energies).items() if value}
        found[event] = EventEnergy(blocks, sum(settled.values()), record.activity.cycles)
    result = ArrayEnergy(design, leakage, found)
    steps.done(", ".join(f"{event} {found[event].total:.2f} pJ" for event in (Event.STEP, Event.PRELOAD, Event.IDLE)))
    return result


def _picojoules(power: Mapping[str, Power], clock_ns: float) -> dict[str, float]:
    """Dynamic energy of a cycle by block."""
    return {block: (each.internal + each.switching) * clock_ns * 1e3 for block, each in power.items()}


def measure_size(order: Order, work: Path, progress: Progress) -> ArrayEnergyRun:
    """Energies of the designs of a size.

    Args:
        order: which designs, on what.
        work: directory for intermediate files, one folder a design.
        progress: called with progress lines.

    Raises:
        SynthesisError: unknown size or design, a missing tool, or a failing step.
    """
    tools, mapped = netlists(order, work, progress)
    results = []
    for each in mapped:
        kept = _kept(order, each.design, tools, work)
        if kept is not None and kept.is_file():
            results.append(pickle.loads(kept.read_bytes()))
            continue
        results.append(measure_events(each, order.data, tools, order.constraints, progress))
        if kept is not None:
            write_bytes(kept, pickle.dumps(results[-1]))
    return ArrayEnergyRun(order.size, order.clock_ns, tools.versions(), order.data.source, order.command, results)


def _kept(order: Order, design: CoreDesign, tools: Tools, work: Path) -> Path | None:
    """Where the energies of a design are kept: under a name of everything that decides them, its netlist included."""
    if order.cache is None:
        return None
    digest = hashlib.sha256()
    for matrix in order.data.matrices:
        integers = [matrix.integers[bits] for bits in sorted(matrix.integers)]
        for array in (matrix.codes, matrix.activations, *integers):
            digest.update(repr(array.shape).encode() + array.tobytes())
    inputs = [design, order.constraints, order.data.source, digest.hexdigest(), sorted(tools.versions().items())]
    key = cache_key(__name__, inputs=inputs, files=[work / design.top / "netlist.v"])
    return order.cache / f"{design.top}-energy-{key}.pickle"
