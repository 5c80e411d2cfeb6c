"""What a core does beside streaming at full rate, recorded event by event on the mapped netlist.

One run goes through three tiles of a core: steps with a token in every row, stalls, idle cycles, the preload of the
next tile, steps with rows that keep an old tile, steps with rows of zeros. Every result is checked in between, so each
state is the one that it is taken for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from fineq_asic.activity.core_driver import CoreDriver, CoreWork, Tile, read_flag
from fineq_asic.activity.gate_level import GateLevelSimulator
from fineq_asic.activity.netlist_run import Trace, constant, preload, reset
from fineq_asic.activity.switching import Activity
from fineq_asic.errors import SynthesisError
from fineq_asic.netlist.flat import FlatNetlist


class Event(StrEnum):
    """What a cycle of a core is; the value is its name in reports."""

    STEP = "step"
    STEP_STALE = "step, one row with a token, old activations in the others"
    STEP_ONE = "step, one row with a token, zeros in the others"
    STEP_ZERO = "step, zeros in all rows"
    PRELOAD = "preload beat"
    IDLE = "idle cycle"
    STALLED = "stalled cycle"


STEPS = (Event.STEP, Event.STEP_STALE, Event.STEP_ONE, Event.STEP_ZERO)
"""Events in which the array computes."""

MOVING = (*STEPS, Event.PRELOAD)
"""Events in which data moves, so that there are glitches."""

_SETTLED = 8
"""Cycles recorded where nothing but the clock is expected to move."""


@dataclass(frozen=True, eq=False)
class EventRecord:
    """An event as it was recorded.

    Attributes:
        activity: toggles in its cycles, all runs together.
        trace: values of all nets at the end of its cycles, for a run with delays.
        steps: share of the cycles, over all runs, in which the array computed; 0 to 1.
    """

    activity: Activity
    trace: Trace
    steps: float


@dataclass(frozen=True)
class EventOptions:
    """How long to record.

    Attributes:
        warm_up: cycles after which a stream is in its steady state, and after which one that ends has ended.
        cycles: of each event in which the array computes.
        source: description of the data for the report.
        seed: of what registers hold before reset.
    """

    warm_up: int
    cycles: int
    source: str = ""
    seed: int = 0


def run_events(
    flat: FlatNetlist, work: CoreWork, following: Sequence[Sequence[Tile]], options: EventOptions
) -> dict[Event, EventRecord]:
    """Record every event.

    Args:
        flat: mapped netlist of a core.
        work: the core and the tile that it starts with.
        following: two further tiles for each lane: the one that is preloaded, and the one whose vectors meet rows
            without a token.
        options: of the run.

    Raises:
        SynthesisError: a result is wrong, a phase does not come when it has to, or a step is none.
    """
    second, third = following
    run = _Run(flat, work, options)
    run.load()
    run.stream()
    records = {Event.STEP: run.record_stream()}
    records[Event.STALLED] = run.record_stalled()
    records[Event.IDLE] = run.record_idle()
    run.end_tile()
    run.work_on(second)
    records[Event.PRELOAD] = run.record_preload()
    run.stream()
    run.end_tile()
    run.work_on(_first_row_of(third, [tile.activations for tile in second]))
    run.load(1)
    run.stream()
    records[Event.STEP_STALE] = run.record_stream()
    run.end_tile()
    nothing = [np.zeros_like(tile.activations) for tile in third]
    run.work_on([_with_rows(tile, zeros, 0) for tile, zeros in zip(third, nothing, strict=True)])
    run.load()
    run.stream()
    records[Event.STEP_ZERO] = run.record_stream()
    run.end_tile()
    run.work_on([_with_rows(tile, zeros, 1) for tile, zeros in zip(third, nothing, strict=True)])
    run.load(1)
    run.stream()
    records[Event.STEP_ONE] = run.record_stream()
    for event in STEPS:
        if records[event].steps != 1:
            raise SynthesisError(f"{event}: only {records[event].steps:.0%} of the cycles that were recorded are steps")
    return records


def _first_row_of(tiles: Sequence[Tile], held: Sequence[np.ndarray]) -> list[Tile]:
    """The work of tiles of one token on an array that holds others' activations in all further rows."""
    return [
        replace(tile, activations=np.concatenate([tile.activations[:1], old[1:]]))
        for tile, old in zip(tiles, held, strict=True)
    ]


def _with_rows(tile: Tile, held: np.ndarray, rows: int) -> Tile:
    """The work of a tile of so many tokens on an array whose further rows hold zeros and have always done so."""
    partials = tile.partials.copy()
    partials[:, rows:] = 0
    return replace(tile, activations=np.concatenate([tile.activations[:rows], held[rows:]]), partials=partials)


class _Run:
    """The state of a run: simulator, streams, recording."""

    def __init__(self, flat: FlatNetlist, work: CoreWork, options: EventOptions) -> None:
        self.simulator = GateLevelSimulator(flat, seed=options.seed)
        self.work, self.options = work, options
        self.driver = CoreDriver(work)
        self.weights_valid = f"{self.driver.weights_port}__valid"
        self._values: list[np.ndarray] = []
        self._computing = 0
        reset(self.simulator)

    # -- what a core can be asked to do

    def work_on(self, tiles: Sequence[Tile]) -> None:
        """Other tiles from here on; the core waits for activations."""
        self.driver = CoreDriver(replace(self.work, tiles=tiles))

    def load(self, rows: int | None = None) -> None:
        preload(self.simulator, self.driver, rows)

    def stream(self) -> None:
        """Weight vectors one after the other until that is all there is."""
        self._offer(1)
        for _ in range(self.options.warm_up):
            self._cycle(self.simulator.clock_edge)

    def end_tile(self) -> None:
        """A last vector, and all results out: the core waits for activations."""
        self._offer(1)
        for _ in range(self.options.warm_up):
            self._cycle(self.simulator.clock_edge, last=True)
        self._offer(0)
        for _ in range(self.options.warm_up):
            self._cycle(self.simulator.clock_edge, last=True)
        self.simulator.settle()
        waiting = read_flag(self.simulator, "activations__ready").all()
        if not waiting or read_flag(self.simulator, "results__valid").any():
            raise SynthesisError("the mapped netlist does not come to the end of a tile")

    # -- recordings

    def record_stream(self) -> EventRecord:
        return self._record(self.options.cycles, lambda: self._cycle(self._recorded_edge))

    def record_stalled(self) -> EventRecord:
        """Results wait, vectors and partial sums are on offer."""
        self.simulator.set_port("results__ready", constant(0))
        for _ in range(self.options.warm_up):
            self._cycle(self.simulator.clock_edge)
        if not read_flag(self.simulator, "results__valid").all():
            raise SynthesisError("the mapped netlist has no result that waits")
        record = self._record(_SETTLED, lambda: self._cycle(self._recorded_edge))
        self.simulator.set_port("results__ready", constant(1))
        return record

    def record_idle(self) -> EventRecord:
        """Activations are loaded, nothing is on offer."""
        self.simulator.set_port(self.weights_valid, constant(0))
        for _ in range(self.options.warm_up):  # vectors on their way still take their partial sums
            self._cycle(self.simulator.clock_edge)
        self._offer(0)
        if read_flag(self.simulator, "results__valid").any():
            raise SynthesisError("the mapped netlist still delivers results without weights")
        return self._record(_SETTLED, lambda: self._cycle(self._recorded_edge))

    def record_preload(self) -> EventRecord:
        """A full tile, one row a cycle: all beats but the first, which only sets the reference."""
        return self._record(0, lambda: preload(self.simulator, self.driver, clock=self._recorded_edge))

    # -- one cycle

    def _offer(self, valid: int) -> None:
        for port in (self.weights_valid, "partials__valid"):
            self.simulator.set_port(port, constant(valid))

    def _cycle(self, edge: Callable[[], None], *, last: bool = False) -> None:
        self.driver.stream_inputs(self.simulator, last=last)
        self.simulator.settle()
        self.driver.handshakes(self.simulator)
        edge()

    def _recorded_edge(self) -> None:
        assert isinstance(self.simulator.values, np.ndarray)  # no run of this kind is ternary
        self._values.append(self.simulator.values[:-1].copy())
        if "computing" in self.simulator.flat.ports:
            self._computing += int(read_flag(self.simulator, "computing").sum()) if len(self._values) > 1 else 0
        self.simulator.clock_edge(record=True)

    def _record(self, cycles: int, cycle: Callable[[], None]) -> EventRecord:
        """Record so many cycles after a first one, which sets the reference."""
        self.simulator.clear_activity()
        self._values, self._computing = [], 0
        for _ in range(cycles + 1):
            cycle()
        activity = self.simulator.activity(self.options.source)
        known = "computing" in self.simulator.flat.ports
        steps = self._computing / activity.cycles if known else 1.0
        return EventRecord(activity, Trace(np.stack(self._values), *self.simulator.clock_nets), steps)
