"""Runs a mapped core on real data: checks every result bit for bit and records the switching activity.

Sixty-four independent tiles run at once (`fineq_asic.activity.gate_level`), each with its own activations, weight
vectors and starting partial sums. Recording covers the steady state: weight vectors follow each other without
a pause, as they do for a layer with many output channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fineq_asic.activity.core_driver import CoreDriver, CoreWork, read_flag
from fineq_asic.activity.gate_level import GateLevelSimulator
from fineq_asic.activity.lanes import LANES, pack_lanes
from fineq_asic.activity.switching import Activity
from fineq_asic.errors import SynthesisError
from fineq_asic.netlist.flat import FlatNetlist

_RESET_CYCLES = 2


@dataclass(frozen=True, eq=False)
class Trace:
    """Values of all nets at the end of every recorded cycle.

    Attributes:
        values: uint64 [cycles + 1, nets], one bit per run; the first entry is what the recording starts from.
        clock_nets: nets that carry the clock, int32; their values here are 0.
        clock_enables: net that enables each clock net, int32; -1: runs always.
    """

    values: np.ndarray
    clock_nets: np.ndarray
    clock_enables: np.ndarray


@dataclass(frozen=True)
class CoreRun:
    """What a run has shown.

    Attributes:
        trace: if asked for.
        activity: toggles in the steady state; None of a ternary run.
        cycles_per_vector: measured clock cycles per weight vector in the recorded window, all runs together.
        results_checked: sums compared with the integer reference; all were equal.
    """

    activity: Activity | None
    cycles_per_vector: float
    results_checked: int
    trace: Trace | None = None

    @property
    def recorded(self) -> Activity:
        """The activity of a run that has one.

        Raises:
            SynthesisError: a ternary run has none.
        """
        if self.activity is None:
            raise SynthesisError("a ternary run records no activity: run with known values")
        return self.activity

    @property
    def traced(self) -> Trace:
        """The trace of a run that was asked for one.

        Raises:
            SynthesisError: it was not.
        """
        if self.trace is None:
            raise SynthesisError("the run kept no trace: ask for one")
        return self.trace


@dataclass(frozen=True)
class RunOptions:
    """How long to run and what to keep.

    Attributes:
        warm_up: cycles of streaming before the recording, at least the latency of the core.
        cycles: cycles to record.
        source: description of the data for the report.
        seed: of what registers hold before reset.
        ternary: registers hold unknown values before reset; every flag and result must become known. No activity.
        trace: keep the values of all nets in every recorded cycle.
    """

    warm_up: int
    cycles: int
    source: str = ""
    seed: int = 0
    ternary: bool = False
    trace: bool = False


def run_core(flat: FlatNetlist, work: CoreWork, options: RunOptions) -> CoreRun:
    """Preload the tiles, stream their weight vectors, check the sums, record the activity.

    Args:
        flat: mapped netlist of a `TemporalCore`, `PackedCore` or `MacCore`.
        work: what it is and what it does.
        options: of the run.

    Raises:
        SynthesisError: a result differs from the integer reference, or the core hangs.
    """
    simulator = GateLevelSimulator(flat, seed=options.seed, ternary=options.ternary)
    driver = CoreDriver(work)
    reset(simulator)
    preload(simulator, driver)
    accepted, values = _stream(simulator, driver, options)
    if accepted == 0 or not (driver.next_result > 0).all():
        raise SynthesisError("the mapped netlist accepts no weight vectors or delivers no results")
    return CoreRun(
        None if options.ternary else simulator.activity(options.source),
        options.cycles * LANES / accepted,
        int(driver.next_result.sum()) * len(driver.rows),
        Trace(np.stack(values), *simulator.clock_nets) if options.trace else None,
    )


def constant(value: int, width: int = 1) -> np.ndarray:
    """The same bit in all lanes of every wire of a port, uint64 [width]."""
    return np.full(width, ~np.uint64(0) if value else np.uint64(0), dtype=np.uint64)


def reset(simulator: GateLevelSimulator) -> None:
    """All inputs at their resting values, reset for some cycles."""
    for name, (direction, nets) in simulator.flat.ports.items():
        if direction == "input":
            simulator.set_port(name, constant(0, len(nets)))
    simulator.set_port("results__ready", constant(1))
    if "early_termination" in simulator.flat.ports:
        simulator.set_port("early_termination", constant(1))
    for _ in range(_RESET_CYCLES):
        simulator.set_port("rst", constant(1))
        simulator.settle()
        simulator.clock_edge()
    simulator.set_port("rst", constant(0))


def preload(
    simulator: GateLevelSimulator,
    driver: CoreDriver,
    rows: int | None = None,
    clock: Callable[[], None] | None = None,
) -> None:
    """Activations row by row, one a cycle.

    Args:
        simulator: of a netlist that waits for activations.
        driver: has them.
        rows: so many only; None: all of the array. The others keep what they hold.
        clock: what ends each cycle once it has settled; None: a clock edge that nobody records.

    Raises:
        SynthesisError: a row is not taken.
    """
    count = driver.config.rows if rows is None else rows
    simulator.set_port("activations__valid", constant(1))
    for row in range(count):
        beat = driver.activations[:, row].copy()
        beat[:, -1] = row + 1 == count
        simulator.set_port("activations__payload", pack_lanes(beat))
        simulator.settle()
        if not read_flag(simulator, "activations__ready").all():
            raise SynthesisError(f"the mapped netlist does not take activation row {row}")
        (clock or simulator.clock_edge)()
    simulator.set_port("activations__valid", constant(0))


def _stream(simulator: GateLevelSimulator, driver: CoreDriver, options: RunOptions) -> tuple[int, list[np.ndarray]]:
    """Stream and record; returns the accepted weight vectors and, with a trace, all net values by cycle."""
    simulator.set_port(f"{driver.weights_port}__valid", constant(1))
    simulator.set_port("partials__valid", constant(1))
    accepted = 0
    values: list[np.ndarray] = []
    for cycle in range(options.warm_up + options.cycles + 1):  # the first recorded cycle only sets the reference
        driver.stream_inputs(simulator)
        simulator.settle()
        taken = driver.handshakes(simulator)
        if cycle > options.warm_up:
            accepted += taken
        if options.trace and cycle >= options.warm_up:
            assert isinstance(simulator.values, np.ndarray)  # there is no trace of a ternary run
            values.append(simulator.values[:-1].copy())
        simulator.clock_edge(record=cycle >= options.warm_up and not options.ternary)
    return accepted, values
