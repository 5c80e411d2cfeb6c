"""Gate-level simulation of a mapped netlist, 64 independent runs at once.

Every net holds one 64-bit word: bit l is its value in run l. Cells are evaluated level by level with numpy,
all cells of a kind in a level at once; what a cell does comes from the `function` and `ff` groups of the
Liberty file. There are no delays: the logic settles once a cycle, so glitches are not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fineq_hw.ppa.activity import Activity
from fineq_hw.ppa.errors import SynthesisError
from fineq_hw.ppa.liberty import BooleanFunction, Cell
from fineq_hw.ppa.netlist import NO_NET, CellGroup, FlatNetlist, logic_levels

LANES = 64
"""Independent runs, one per bit of a word."""

ALL_LANES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


@dataclass
class _Operation:
    """One output pin of all cells of a kind that lie in the same level."""

    function: Callable[[dict[str, np.ndarray]], np.ndarray]
    inputs: dict[str, np.ndarray]
    output: np.ndarray


@dataclass
class _Flops:
    """All flip-flops of a kind: nets, and the enable nets of their gated clocks (`NO_NET`: free running)."""

    data: BooleanFunction
    inputs: dict[str, np.ndarray]
    q: np.ndarray
    qn: np.ndarray
    enable: np.ndarray
    state: np.ndarray


class GateLevelSimulator:
    """Cycle-by-cycle simulation of a flat netlist.

    One cycle: set inputs, `settle()`, read outputs, `clock_edge()`. Registers start with random values from
    `seed`, different in every run, so that a design that relies on initial values fails.

    Args:
        flat: the netlist.
        clock: name of its clock port.
        seed: seed of the initial register values.

    Raises:
        SynthesisError: the netlist has a latch, an asynchronous reset, a combinational loop or a clock that
            passes through anything but buffers and clock gates.
    """

    def __init__(self, flat: FlatNetlist, clock: str = "clk", seed: int = 0) -> None:
        self.flat = flat
        self.values = np.zeros(flat.nets, dtype=np.uint64)
        self._clock_enable = self._trace_clock(flat, clock)
        self._flops = [self._make_flops(g) for g in flat.groups.values() if g.cell.register is not None]
        self._levels = self._levelise()
        rng = np.random.default_rng(seed)
        for flops in self._flops:
            flops.state[:] = rng.integers(0, ALL_LANES, len(flops.state), dtype=np.uint64, endpoint=True)
        self._previous: np.ndarray | None = None
        self.clear_activity()

    # -- the user's side

    def set_port(self, name: str, words: np.ndarray) -> None:
        """Drive an input port: uint64 [width], one word per bit."""
        direction, nets = self.flat.ports[name]
        if direction != "input" or len(nets) != len(words):
            raise ValueError(f"port {name} is an {direction} of {len(nets)} bits")
        self.values[nets] = words

    def get_port(self, name: str) -> np.ndarray:
        """Words of a port, uint64 [width]."""
        return self.values[self.flat.ports[name][1]]

    def settle(self) -> None:
        """Let the logic take the values that follow from ports and registers."""
        values = self.values
        for flops in self._flops:
            _write(values, flops.q, flops.state)
            _write(values, flops.qn, ~flops.state)
        for operations in self._levels:
            for operation in operations:
                operands = {pin: values[nets] for pin, nets in operation.inputs.items()}
                values[operation.output] = operation.function(operands)

    def clock_edge(self, record: bool = False) -> None:
        """A rising clock edge: registers take their next state. Settled values enter the activity if asked."""
        if record:
            self._record()
        else:
            self._previous = None
        for flops in self._flops:
            following = flops.data.evaluate({pin: self.values[nets] for pin, nets in flops.inputs.items()}, ALL_LANES)
            enabled = np.where(flops.enable == NO_NET, ALL_LANES, self.values[flops.enable])
            flops.state ^= (flops.state ^ following) & enabled

    # -- activity

    def clear_activity(self) -> None:
        """Forget what was recorded."""
        self._toggles = np.zeros(self.flat.nets, dtype=np.int64)
        self._high = np.zeros(self.flat.nets, dtype=np.int64)
        self._cycles = 0

    def _record(self) -> None:
        if self._previous is not None:
            self._toggles += np.bitwise_count(self._previous ^ self.values)
            self._high += np.bitwise_count(self.values)
            nets, enables = self._clock_nets
            pulses = np.where(enables == NO_NET, LANES, np.bitwise_count(self.values[enables]))
            self._clock_pulses += pulses
            self._cycles += LANES
            np.copyto(self._previous, self.values)
        else:
            self._previous = self.values.copy()

    def activity(self, source: str = "") -> Activity:
        """What was recorded since `clear_activity`.

        Raises:
            SynthesisError: nothing was recorded.
        """
        cycles = max(self._cycles, 1)
        toggles, high = self._toggles / cycles, self._high / cycles
        nets, _ = self._clock_nets
        toggles[nets] = 2.0 * self._clock_pulses / cycles
        high[nets] = 0.5 * self._clock_pulses / cycles
        return Activity(toggles, high, self._cycles, source)

    # -- preparation

    def _trace_clock(self, flat: FlatNetlist, clock: str) -> dict[int, int]:
        """Nets that carry the clock, with the net that enables it (`NO_NET`: always)."""
        if clock not in flat.ports:
            self._clock_nets = (np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32))
            self._clock_pulses = np.zeros(0, dtype=np.int64)
            return {}
        carried = {int(flat.ports[clock][1][0]): NO_NET}
        pending = True
        while pending:
            pending = False
            for group in flat.groups.values():
                cell = group.cell
                if cell.register is not None:
                    continue
                clock_pin = next((pin.name for pin in cell.inputs if pin.is_clock), None)
                pin = clock_pin or (cell.inputs[0].name if len(cell.inputs) == 1 else None)
                if pin is None or not (cell.clock_gate or _is_buffer(cell)):
                    continue
                sources = group.nets[pin]
                for index in np.flatnonzero(np.isin(sources, list(carried))):
                    output = int(group.nets[cell.outputs[0].name][index])
                    if output in carried:
                        continue
                    outer = carried[int(sources[index])]
                    if cell.clock_gate and outer != NO_NET:
                        raise SynthesisError("a clock gate behind another clock gate is not supported")
                    carried[output] = int(group.nets["E"][index]) if cell.clock_gate else outer
                    pending = True
        nets = np.array(sorted(carried), dtype=np.int32)
        self._clock_nets = (nets, np.array([carried[int(net)] for net in nets], dtype=np.int32))
        self._clock_pulses = np.zeros(len(nets), dtype=np.int64)
        return carried

    def _make_flops(self, group: CellGroup) -> _Flops:
        register = group.cell.register
        if register.kind != "ff":
            raise SynthesisError(f"{group.cell.name} is a latch: the gate-level simulation knows flip-flops only")
        if register.clear is not None or register.preset is not None:
            raise SynthesisError(f"{group.cell.name} has an asynchronous reset: the gate-level simulation has none")
        clock = register.clock.inputs[0]
        try:
            enable = np.array([self._clock_enable[int(net)] for net in group.nets[clock]], dtype=np.int32)
        except KeyError:
            raise SynthesisError(f"a {group.cell.name} has a clock that does not come from the clock port") from None
        absent = np.full(len(group), NO_NET, dtype=np.int32)
        outputs = {pin.function.text: group.nets[pin.name] for pin in group.cell.outputs if pin.function is not None}
        return _Flops(
            register.data,
            {pin: group.nets[pin] for pin in register.data.inputs},
            outputs.get(register.state, absent),
            outputs.get(register.inverse, absent),
            enable,
            np.zeros(len(group), dtype=np.uint64),
        )

    def _levelise(self) -> list[list[_Operation]]:
        level = logic_levels(self.flat)
        logic = []
        for group in self.flat.groups.values():
            if group.cell.register is not None or group.cell.clock_gate:
                continue
            in_clock = np.isin(group.nets[group.cell.outputs[0].name], self._clock_nets[0])
            for pin in group.cell.outputs:
                used = np.flatnonzero((group.nets[pin.name] != NO_NET) & ~in_clock)
                if len(used) and pin.function is not None:
                    inputs = {name: group.nets[name][used] for name in pin.function.inputs}
                    if any((nets == NO_NET).any() for nets in inputs.values()):
                        raise SynthesisError(f"a {group.cell.name} has an open input")
                    logic.append((pin.function, inputs, group.nets[pin.name][used]))
        levels: list[list[_Operation]] = [[] for _ in range(int(level.max(initial=0)) + 1)]
        for function, inputs, output in logic:
            for number in np.unique(level[output]):
                members = np.flatnonzero(level[output] == number)
                members = members[np.argsort(output[members], kind="stable")]
                levels[number].append(
                    _Operation(
                        lambda operands, f=function: f.evaluate(operands, ALL_LANES),
                        {pin: nets[members] for pin, nets in inputs.items()},
                        output[members],
                    )
                )
        return levels


def _write(values: np.ndarray, nets: np.ndarray, words: np.ndarray) -> None:
    connected = nets != NO_NET
    values[nets[connected]] = words[connected]


def _is_buffer(cell: Cell) -> bool:
    function = cell.outputs[0].function if len(cell.outputs) == 1 else None
    return function is not None and len(cell.inputs) == 1 and function.text.strip("() ") == cell.inputs[0].name


def pack_lanes(bits: np.ndarray) -> np.ndarray:
    """Bits by run to words: bool or 0/1 array [64, width] to uint64 [width], bit l of a word from row l."""
    if bits.shape[0] != LANES:
        raise ValueError(f"need {LANES} rows, got {bits.shape[0]}")
    packed = np.packbits(np.ascontiguousarray(bits.T).astype(np.uint8), axis=1, bitorder="little")
    return packed.view("<u8").reshape(-1)


def unpack_lanes(words: np.ndarray) -> np.ndarray:
    """Words to bits by run: uint64 [width] to uint8 [64, width]."""
    octets = np.ascontiguousarray(words).astype("<u8").view(np.uint8).reshape(len(words), 8)
    return np.unpackbits(octets, axis=1, bitorder="little").T
