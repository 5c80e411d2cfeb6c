"""Gate-level simulation of a mapped netlist, 64 independent runs at once.

Every net holds one 64-bit word: bit l is its value in run l. Cells are evaluated level by level with numpy,
all cells of a kind in a level at once; what a cell does comes from the `function`, `ff` and `latch` groups of
the Liberty file. There are no delays: the logic settles once in each phase of the clock, so glitches are not
seen (`fineq_asic.power.glitches` measures them).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fineq_asic.activity.lanes import ALL_LANES, LANES
from fineq_asic.activity.switching import Activity
from fineq_asic.activity.ternary import Ternary
from fineq_asic.errors import SynthesisError
from fineq_asic.library.boolean import BooleanFunction
from fineq_asic.library.liberty import Register
from fineq_asic.library.recognition import clock_pin, enable_pin, repeated_input
from fineq_asic.netlist.flat import NO_NET, CellGroup, FlatNetlist, logic_levels

_LATCH_ROUNDS = 8
"""Open latches may feed one another; deeper chains than this do not occur in a sane design."""

Words = np.ndarray | Ternary


@dataclass
class _Operation:
    """One output pin of all cells of a kind that lie in the same level."""

    function: Callable[[dict[str, Words]], Words]
    inputs: dict[str, np.ndarray]
    output: np.ndarray


@dataclass
class _Registers:
    """All flip-flops or latches of a kind.

    `enable` is what the clock gate in front has sampled (`NO_NET`: free running); `clock` the clock net.
    """

    function: BooleanFunction
    open_when: BooleanFunction
    clock_pin: str
    inputs: dict[str, np.ndarray]
    q: np.ndarray
    qn: np.ndarray
    clock: np.ndarray
    enable: np.ndarray
    state: Words


class GateLevelSimulator:
    """Cycle-by-cycle simulation of a flat netlist.

    One cycle: set inputs, `settle()`, read outputs, `clock_edge()`. A clock gate passes the high phase of a
    cycle if its enable was high at the edge that starts the cycle. A latch on such a clock is open in that
    phase and closed in the other, or the other way round, as its Liberty group says. Registers start with
    random values from `seed`, different in every run, so that a design that relies on initial values fails.

    Args:
        flat: the netlist.
        clock: name of its clock port.
        seed: seed of the initial register values.
        ternary: registers start unknown; what is known later is so whatever they held. No activity.

    Raises:
        SynthesisError: the netlist has an asynchronous reset, a combinational loop, a register whose clock or
            enable does not come from the clock port, or a clock that passes through anything but buffers and
            clock gates.
    """

    def __init__(self, flat: FlatNetlist, clock: str = "clk", seed: int = 0, ternary: bool = False) -> None:
        self.flat = flat
        self._ones: Words | np.uint64 = Ternary.known(ALL_LANES) if ternary else ALL_LANES
        # The last entry stands for `NO_NET`, an enable that is always on.
        self.values: Words = Ternary.unknown(flat.nets + 1) if ternary else np.zeros(flat.nets + 1, dtype=np.uint64)
        self.values[NO_NET] = ALL_LANES
        enables = self._trace_clock(flat, clock)
        groups = [(g, g.cell.register) for g in flat.groups.values() if g.cell.register is not None]
        self._flops = [self._make_registers(g, r, enables) for g, r in groups if r.kind == "ff"]
        self._latches = [self._make_registers(g, r, enables) for g, r in groups if r.kind == "latch"]
        self._levels = self._levelise()
        rng = np.random.default_rng(seed)
        for registers in (*self._flops, *self._latches):
            count = len(registers.clock)
            random = rng.integers(0, ALL_LANES, count, dtype=np.uint64, endpoint=True)
            registers.state = Ternary.unknown(count) if ternary else random
        nets, _ = self._clock_nets
        self._pulses: Words = self.values[nets]
        self._pulses[:] = np.uint64(0)
        self._latch_clocks = np.flatnonzero(np.isin(nets, [net for group in self._latches for net in group.clock]))
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
        """Words of a port, uint64 [width]; unknown bits read as 0."""
        words = self.values[self.flat.ports[name][1]]
        return words.one if isinstance(words, Ternary) else words

    def unknown_bits(self, name: str) -> np.ndarray:
        """Which bits of a port are unknown, uint64 [width]; none but in a ternary run."""
        words = self.values[self.flat.ports[name][1]]
        return words.unknown_bits if isinstance(words, Ternary) else np.zeros(len(words), dtype=np.uint64)

    def settle(self) -> None:
        """Let the logic take the values that follow from ports and registers, in both phases of the clock."""
        if self._latches and _any(self._pulses[self._latch_clocks]):
            nets, _ = self._clock_nets
            self.values[nets] = self._pulses
            self._settle_phase()
            self.values[nets] = np.uint64(0)
        self._settle_phase()

    def clock_edge(self, record: bool = False) -> None:
        """A rising clock edge: registers take their next state. Settled values enter the activity if asked."""
        if record:
            self._record()
        else:
            self._previous = None
        for flops in self._flops:
            self._take(flops, self.values[flops.enable])
        self._pulses = self.values[self._clock_nets[1]]

    @property
    def clock_nets(self) -> tuple[np.ndarray, np.ndarray]:
        """Nets that carry the clock, and the net that enables each (`NO_NET`: always), int32."""
        return self._clock_nets

    # -- activity

    def clear_activity(self) -> None:
        """Forget what was recorded."""
        self._toggles = np.zeros(self.flat.nets, dtype=np.int64)
        self._high = np.zeros(self.flat.nets, dtype=np.int64)
        self._clock_pulses = np.zeros(len(self._clock_nets[0]), dtype=np.int64)
        self._cycles = 0

    def _record(self) -> None:
        assert isinstance(self.values, np.ndarray)  # a ternary run records nothing
        values = self.values[:-1]
        if self._previous is not None:
            self._toggles += np.bitwise_count(self._previous ^ values)
            self._high += np.bitwise_count(values)
            self._clock_pulses += np.bitwise_count(self.values[self._clock_nets[1]])
            self._cycles += LANES
            np.copyto(self._previous, values)
        else:
            self._previous = values.copy()

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

    # -- one phase

    def _settle_phase(self) -> None:
        for _ in range(_LATCH_ROUNDS):
            for registers in (*self._flops, *self._latches):
                _write(self.values, registers.q, registers.state)
                _write(self.values, registers.qn, ~registers.state)
            for operations in self._levels:
                for operation in operations:
                    operands = {pin: self.values[nets] for pin, nets in operation.inputs.items()}
                    self.values[operation.output] = operation.function(operands)
            if not [latches for latches in self._latches if self._follow(latches)]:
                return
        raise SynthesisError(f"the latches do not settle: more than {_LATCH_ROUNDS} follow one another")

    def _follow(self, latches: _Registers) -> bool:
        """Open latches take their data; returns whether any of them changed."""
        before = latches.state
        self._take(latches, latches.open_when.evaluate({latches.clock_pin: self.values[latches.clock]}, self._ones))
        return _any(before ^ latches.state) if not isinstance(before, Ternary) else before != latches.state

    def _take(self, registers: _Registers, enabled: Words) -> None:
        data = registers.function.evaluate({pin: self.values[n] for pin, n in registers.inputs.items()}, self._ones)
        registers.state = (data & enabled) | (registers.state & ~enabled)

    # -- preparation

    def _trace_clock(self, flat: FlatNetlist, clock: str) -> dict[int, int]:
        """Nets that carry the clock, with the net that enables it (`NO_NET`: always)."""
        carried = {int(flat.ports[clock][1][0]): NO_NET} if clock in flat.ports else {}
        pending = bool(carried)
        while pending:
            pending = False
            for group in flat.groups.values():
                cell = group.cell
                if cell.register is not None:
                    continue
                pin = clock_pin(cell) if cell.clock_gate else repeated_input(cell)
                if pin is None:
                    continue
                sources = group.nets[pin]
                for index in np.flatnonzero(np.isin(sources, list(carried))):
                    output = int(group.nets[cell.outputs[0].name][index])
                    if output in carried:
                        continue
                    outer = carried[int(sources[index])]
                    if cell.clock_gate and outer != NO_NET:
                        raise SynthesisError("a clock gate behind another clock gate is not supported")
                    carried[output] = int(group.nets[enable_pin(cell)][index]) if cell.clock_gate else outer
                    pending = True
        nets = np.array(sorted(carried), dtype=np.int32)
        self._clock_nets = (nets, np.array([carried[int(net)] for net in nets], dtype=np.int32))
        return carried

    def _make_registers(self, group: CellGroup, register: Register, enables: dict[int, int]) -> _Registers:
        name = group.cell.name
        if register.clear is not None or register.preset is not None:
            raise SynthesisError(f"{name} has an asynchronous reset: the gate-level simulation has none")
        pin = register.clock.inputs[0]
        try:
            enable = np.array([enables[int(net)] for net in group.nets[pin]], dtype=np.int32)
        except KeyError:
            what = "a clock" if register.kind == "ff" else "an enable"
            raise SynthesisError(f"a {name} has {what} that does not come from the clock port") from None
        absent = np.full(len(group), NO_NET, dtype=np.int32)
        outputs = {pin.function.text: group.nets[pin.name] for pin in group.cell.outputs if pin.function is not None}
        return _Registers(
            register.data,
            register.clock,
            pin,
            {pin: group.nets[pin] for pin in register.data.inputs},
            outputs.get(register.state, absent),
            outputs.get(register.inverse, absent),
            group.nets[pin],
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
                operands = {pin: nets[members] for pin, nets in inputs.items()}
                levels[number].append(_Operation(self._evaluation(function), operands, output[members]))
        return levels

    def _evaluation(self, function: BooleanFunction) -> Callable[[dict[str, Words]], Words]:
        return lambda operands: function.evaluate(operands, self._ones)


def _any(words: Words) -> bool:
    """Whether any bit may be one."""
    return bool((~words.zero).any() if isinstance(words, Ternary) else words.any())


def _write(values: Words, nets: np.ndarray, words: Words) -> None:
    connected = nets != NO_NET
    values[nets[connected]] = words[connected]
