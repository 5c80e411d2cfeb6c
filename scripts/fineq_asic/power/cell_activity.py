"""What a chunk of cells of one kind does: how often its pins move, and how probable its states are.

Pins are taken as independent but for two cases that are exact: before a clock edge, how often D differs from Q follows
from how often Q moves; and an open latch shows its data.
"""

from __future__ import annotations

import numpy as np

from fineq_asic.library.liberty import Cell, Pin, Register
from fineq_asic.netlist.flat import NO_NET, CellGroup
from fineq_asic.power.cell_states import CellStates, state_name

Joint = dict[tuple[int, int], np.ndarray]
"""Probability of two pins by their values, float64 [instances] each."""


class CellActivity:
    """Activity of some cells of one kind; arrays are over these cells.

    Args:
        group: all cells of the kind.
        part: which of them.
        toggles, high: by net, with a last entry for open pins.
        independent_outputs: take outputs as independent of the inputs, as OpenSTA does.

    Attributes:
        cell: the library cell.
        size: how many cells.
        nets, toggles, high: by pin.
        states: of the cell.
        probability: of every state, float64 [instances, states].
        exact: outputs follow from inputs.
    """

    def __init__(
        self, group: CellGroup, part: slice, toggles: np.ndarray, high: np.ndarray, independent_outputs: bool
    ) -> None:
        self.cell: Cell = group.cell
        self.size = len(group.blocks[part])
        self.exact = not independent_outputs
        self.nets = {pin: nets[part] for pin, nets in group.nets.items()}
        self.toggles = {pin: toggles[nets] for pin, nets in self.nets.items()}
        self.high = {pin: np.clip(high[nets], 0.0, 1.0) for pin, nets in self.nets.items()}
        self.states = CellStates(self.cell, independent_outputs)
        register = self.cell.register
        self._free_high = self.high
        if register is not None:
            self._take_open_outputs_from_their_complement(register)
            self._free_high = {register.state: self._state_high(register)} | self.high
        self.probability = self.states.probabilities(self._free_high)
        if self.exact and self.latch is not None:
            self.probability = self._latch_probability(self.latch)

    @property
    def latch(self) -> Register | None:
        register = self.cell.register
        return register if register is not None and register.kind == "latch" else None

    def open_share(self) -> np.ndarray:
        """Share of time that a latch is open; 1 for all other cells."""
        if self.latch is None:
            return np.ones(self.size)
        level = self.high[_gate(self.latch)]
        return level if _opens_high(self.latch) else 1 - level

    def before_edges(self, clock: Pin) -> tuple[np.ndarray, np.ndarray]:
        """Probability of each state just before a rising and just before a falling edge of a clock pin."""
        rise = self._given({clock.name: np.zeros(self.size)})
        fall = self._given({clock.name: np.ones(self.size)})
        register = self.cell.register
        if register is None or len(register.data.inputs) != 1:
            return rise, fall
        data, state = register.data.inputs[0], state_name(self.cell, register)
        moves = self._joint_of_data_and_state(clock, data, state)
        joint_rise, joint_fall = moves, moves
        if self.latch is not None:  # as for a flip-flop when it opens; when it closes it shows its data
            q = self._free_high[state]
            shows = {(1, 0): 0 * q, (0, 1): 0 * q, (1, 1): q, (0, 0): 1 - q}
            joint_rise, joint_fall = (moves, shows) if _opens_high(self.latch) else (shows, moves)
        return (
            self.states.with_joint(rise, data, state, joint_rise),
            self.states.with_joint(fall, data, state, joint_fall),
        )

    def _joint_of_data_and_state(self, clock: Pin, data: str, state: str) -> Joint:
        """Data and state before an edge: they differ as often as the state moves per clock pulse."""
        d, q = self.high[data], self._free_high[state]
        pulses = np.maximum(0.5 * self.toggles[clock.name], 1e-30)
        moves = self.toggles[self.cell.outputs[0].name] / pulses
        differ = np.clip(moves, np.abs(d - q), np.minimum(d + q, 2 - d - q))
        d_only, q_only = 0.5 * (differ + d - q), 0.5 * (differ - d + q)
        return {(1, 0): d_only, (0, 1): q_only, (1, 1): d - d_only, (0, 0): 1 - d - q_only}

    def _latch_probability(self, latch: Register) -> np.ndarray:
        """An open latch shows its data, no other state occurs then; a closed one is independent of it."""
        data, gate, state = latch.data.inputs[0], _gate(latch), state_name(self.cell, latch)
        d, q, level = self.high[data], self._free_high[state], self.high[gate]
        shows: Joint = {(1, 1): d, (0, 0): 1 - d, (0, 1): 0 * d, (1, 0): 0 * d}
        free: Joint = {(a, b): (d if a else 1 - d) * (q if b else 1 - q) for a, b in shows}
        result = np.zeros_like(self.probability)
        for value in (0, 1):
            share = level if value else 1 - level
            joint = shows if latch.clock.evaluate({gate: value}, 1) else free
            fixed = self._given({gate: np.full(self.size, float(value))})
            result += share[:, None] * self.states.with_joint(fixed, data, state, joint)
        return result

    def _given(self, fixed: dict[str, np.ndarray]) -> np.ndarray:
        """Probability of every state with some pins at other values."""
        return self.states.probabilities(self._free_high | fixed)

    def _take_open_outputs_from_their_complement(self, register: Register) -> None:
        """Open register outputs switch inside the cell all the same."""
        states = (register.state, register.inverse)
        pins = [pin.name for pin in self.cell.outputs if pin.function and pin.function.text in states]
        if len(pins) == 2:
            for pin, other in (pins, pins[::-1]):
                is_open = self.nets[pin] == NO_NET
                self.toggles[pin] = np.where(is_open, self.toggles[other], self.toggles[pin])
                self.high[pin] = np.where(is_open, 1 - self.high[other], self.high[pin])

    def _state_high(self, register: Register) -> np.ndarray:
        output = self.cell.outputs[0]
        inverted = output.function is not None and output.function.text == register.inverse
        return 1 - self.high[output.name] if inverted else self.high[output.name]


def _gate(latch: Register) -> str:
    return latch.clock.inputs[0]


def _opens_high(latch: Register) -> bool:
    """Whether a latch is open while its gate pin is high."""
    return bool(latch.clock.evaluate({_gate(latch): 1}, 1))
