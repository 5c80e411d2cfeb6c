"""Glitches: what nets do before they settle, by an event-driven run with the delays of the Liberty tables.

The same vectors run twice. The zero-delay run (`activity.gate_level`) gives the settled values of every cycle;
here registers and ports change to these values at the time the library gives, and `event_simulator.cpp` plays
what follows, gate by gate. Every net must end each cycle at its settled value, so the two runs prove each other.

Delays are those of the tables at the slews and loads that the power figures use, per input pin and edge of the
output, averaged over the conditions of an arc. They are inertial: pulses shorter than a gate's delay do not come
out of it. The clock is ideal. Latches that are open during the recording count as registers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from fineq_asic.activity.netlist_run import Trace
from fineq_asic.activity.switching import Activity
from fineq_asic.errors import SynthesisError
from fineq_asic.library.boolean import BooleanFunction
from fineq_asic.library.liberty import Pin, Register
from fineq_asic.netlist.flat import NO_NET, CellGroup, FlatNetlist
from fineq_asic.power.event_simulator import load_event_simulator
from fineq_asic.power.liberty_power import PowerEngine
from fineq_asic.timing.loads import mean_tables
from fineq_asic.timing.opensta import Constraints

_FS = 1e6  # fs per ns


@dataclass(frozen=True, eq=False)
class GlitchRun:
    """Activity of the same cycles without and with delays.

    Attributes:
        settled: one transition at most per net and cycle.
        delayed: all transitions.
        settle_ns: when the last net came to rest, counted from the clock edge, in the worst cycle.
    """

    settled: Activity
    delayed: Activity
    settle_ns: float

    @property
    def extra_transitions(self) -> float:
        """Transitions beyond the settled ones, as a share of these; clock nets left out."""
        logic = self.settled.toggles < 2.0
        return float(self.delayed.toggles[logic].sum() / self.settled.toggles[logic].sum() - 1)


class _Logic:
    """The netlist as flat arrays: one gate per connected output of a cell, one source per other driven net."""

    def __init__(
        self, flat: FlatNetlist, engine: PowerEngine, constraints: Constraints, clock_nets: np.ndarray
    ) -> None:
        self.engine = engine
        self.outputs: list[np.ndarray] = []
        self.pins: list[np.ndarray | None] = []  # None: a constant
        self.rises: list[np.ndarray | None] = []
        self.falls: list[np.ndarray | None] = []
        self.tables: list[np.ndarray] = []
        arrival = round(constraints.input_delay_ns * _FS)
        self.source_rise = np.full(flat.nets, arrival, dtype=np.int64)
        self.source_fall = self.source_rise.copy()
        for _, group in sorted(flat.groups.items()):
            for pin in group.cell.outputs:
                nets = group.nets[pin.name]
                members = np.flatnonzero((nets != NO_NET) & ~np.isin(nets, clock_nets))
                if not len(members) or pin.function is None:
                    continue
                if group.cell.register is not None:
                    self._add_source(group, group.cell.register, pin, members)
                else:
                    self._add_gates(group, pin, pin.function, members)

    def _delays(self, group: CellGroup, pin: Pin, members: np.ndarray, kind: str) -> dict[str, np.ndarray]:
        tables = mean_tables(pin, (kind,))
        load = self.engine.loads[group.nets[pin.name][members]]
        slew = {name: self.engine.slews[group.nets[name][members]] for name in tables}
        return {name: np.rint(table.lookup(slew[name], load) * _FS).astype(np.int64) for name, table in tables.items()}

    def _add_source(self, group: CellGroup, register: Register, pin: Pin, members: np.ndarray) -> None:
        clock = register.clock.inputs[0]
        nets = group.nets[pin.name][members]
        self.source_rise[nets] = self._delays(group, pin, members, "delay_rise")[clock]
        self.source_fall[nets] = self._delays(group, pin, members, "delay_fall")[clock]

    def _add_gates(self, group: CellGroup, pin: Pin, function: BooleanFunction, members: np.ndarray) -> None:
        names = function.inputs
        rise, fall = (self._delays(group, pin, members, kind) for kind in ("delay_rise", "delay_fall"))
        table = 0
        for index, bits in enumerate(product((0, 1), repeat=len(names))):
            table |= function.evaluate(dict(zip(reversed(names), bits, strict=True)), 1) << index
        self.outputs.append(group.nets[pin.name][members])
        self.pins.append(np.stack([group.nets[name][members] for name in names], axis=1) if names else None)
        self.rises.append(np.stack([np.maximum(rise[name], 0) for name in names], axis=1) if names else None)
        self.falls.append(np.stack([np.maximum(fall[name], 0) for name in names], axis=1) if names else None)
        self.tables.append(np.full(len(members), table, dtype=np.uint64))

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Arguments of `simulate` from `output` to `source_fall`."""
        counts = [part.shape[1] if part is not None else 0 for part in self.pins]
        sizes = np.concatenate([np.full(len(o), c) for o, c in zip(self.outputs, counts, strict=True)])
        parts = [p for p in self.pins if p is not None]

        def join(arrays: Sequence[np.ndarray | None], kind: type) -> np.ndarray:
            return np.concatenate([array.reshape(-1) for array in arrays if array is not None]).astype(kind)

        return (
            np.concatenate(self.outputs).astype(np.int32),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32),
            join(parts, np.int32),
            join(self.rises, np.int64),
            join(self.falls, np.int64),
            np.concatenate(self.tables),
            self.source_rise,
            self.source_fall,
        )


def run_with_delays(
    flat: FlatNetlist,
    engine: PowerEngine,
    trace: Trace,
    constraints: Constraints,
    lanes: Sequence[int],
    source: str = "",
) -> GlitchRun:
    """Play the cycles of a trace with delays.

    Args:
        flat: the netlist.
        engine: its power engine, for slews and loads.
        trace: settled values of the zero-delay run.
        constraints: clock and arrival of the inputs.
        lanes: runs to play, of the 64 in the trace.
        source: description of the data for the activity.

    Raises:
        SynthesisError: no C++ compiler, an empty trace, or a net that does not settle where it did without delays.
    """
    steps = len(trace.values)
    if steps < 2 or not len(lanes):
        raise SynthesisError("the trace is empty: record at least one cycle of one run")
    library = load_event_simulator()
    arrays = _Logic(flat, engine, constraints, trace.clock_nets).arrays()
    values = np.ascontiguousarray(trace.values)
    chosen = np.array(lanes, dtype=np.int32)
    period = round(constraints.clock_ns * _FS)
    toggles, high = np.zeros(flat.nets, dtype=np.int64), np.zeros(flat.nets, dtype=np.int64)
    settled, mismatch = np.zeros(1, dtype=np.int64), np.zeros(3, dtype=np.int64)
    status = library.simulate(
        ctypes.c_int32(flat.nets),
        ctypes.c_int32(len(arrays[0])),
        *(_pointer(array) for array in arrays),
        _pointer(values),
        ctypes.c_int32(steps),
        _pointer(chosen),
        ctypes.c_int32(len(chosen)),
        ctypes.c_int64(period),
        *(_pointer(array) for array in (toggles, high, settled, mismatch)),
    )
    if status:
        net, step, lane = mismatch.tolist()
        raise SynthesisError(
            f"with delays net {net} does not settle to its value in cycle {step} of run {lane}: the logic has a hazard "
            "that lasts, or its function differs from the library's"
        )
    cycles = (steps - 1) * len(chosen)
    mask = np.bitwise_or.reduce(np.uint64(1) << chosen.astype(np.uint64))
    flat_toggles = np.bitwise_count((values[1:] ^ values[:-1]) & mask).sum(axis=0, dtype=np.int64) / cycles
    flat_high = np.bitwise_count(values[1:] & mask).sum(axis=0, dtype=np.int64) / cycles
    delayed_toggles, delayed_high = toggles / cycles, high / period / cycles
    enables = np.where(trace.clock_enables == NO_NET, 1.0, flat_high[trace.clock_enables])
    for count, share in ((flat_toggles, flat_high), (delayed_toggles, delayed_high)):
        count[trace.clock_nets], share[trace.clock_nets] = 2 * enables, enables / 2
    return GlitchRun(
        Activity(flat_toggles, flat_high, cycles, source),
        Activity(delayed_toggles, delayed_high, cycles, source),
        settled[0] / _FS,
    )


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(np.ascontiguousarray(array).ctypes.data)
