"""The states that a cell can be in, and how probable each is."""

from __future__ import annotations

from itertools import product

import numpy as np

from fineq_asic.library.boolean import BooleanFunction
from fineq_asic.library.liberty import Cell, Pin, Register


class CellStates:
    """All states of a cell's pins: which inputs and register state go together with which outputs."""

    def __init__(self, cell: Cell, independent_outputs: bool = False) -> None:
        self.free = [pin.name for pin in cell.inputs]
        """Pins (and the register state, if no pin shows it) that are taken as independent; the last is the state."""
        if independent_outputs:
            self.free += [pin.name for pin in cell.outputs]
        elif cell.register is not None:
            self.free.append(state_name(cell, cell.register))
        self.rows: list[dict[str, int]] = [
            dict(zip(self.free, bits, strict=True)) for bits in product((0, 1), repeat=len(self.free))
        ]
        """Value by pin, one row a state."""
        if not independent_outputs:
            for row in self.rows:
                self._add_outputs(row, cell)

    def _add_outputs(self, row: dict[str, int], cell: Cell) -> None:
        """What the outputs are in a state: they follow from the inputs and the register."""
        if cell.register is not None:
            state = row[self.free[-1]]
            row[cell.register.state], row[cell.register.inverse] = state, 1 - state
        for pin in cell.outputs:
            if cell.clock_gate:
                row[pin.name] = min(row[i.name] for i in cell.inputs)  # the clock while enabled
            elif pin.function is not None:
                row[pin.name] = pin.function.evaluate(row, 1)

    def holds(self, when: BooleanFunction | None) -> np.ndarray:
        """1 for every state in which the condition holds, float64 [states]."""
        if when is None:
            return np.ones(len(self.rows))
        return np.array([float(when.evaluate(row, 1)) for row in self.rows])

    def sensitised(self, output: Pin, pin: str) -> np.ndarray:
        """1 for every state in which a change of the input `pin` changes the output, float64 [states]."""
        if output.function is None or pin not in output.function.inputs:
            return np.ones(len(self.rows))
        return np.array(
            [
                float(output.function.evaluate(row | {pin: 0}, 1) != output.function.evaluate(row | {pin: 1}, 1))
                for row in self.rows
            ]
        )

    def probabilities(self, high: dict[str, np.ndarray]) -> np.ndarray:
        """Probability of every state, float64 [instances, states], with independent pins."""
        result = np.ones((len(next(iter(high.values()))), 1))
        for name in self.free:
            p = high[name][:, None]
            result = np.stack([result * (1 - p), result * p], axis=2).reshape(len(result), -1)
        return result

    def with_joint(
        self, probability: np.ndarray, first: str, second: str, joint: dict[tuple[int, int], np.ndarray]
    ) -> np.ndarray:
        """The same states with the joint probability of two pins in place of the product of their marginals.

        Args:
            probability: of every state, float64 [instances, states].
            first, second: the pins.
            joint: their probability by values of the two, float64 [instances] each.
        """
        values = [(row[first], row[second]) for row in self.rows]
        result = np.empty_like(probability)
        for pair, target in joint.items():
            columns = [i for i, value in enumerate(values) if value == pair]
            current = probability[:, columns].sum(axis=1)
            scale = np.where(current > 0, np.maximum(target, 0.0) / np.where(current > 0, current, 1.0), 0.0)
            result[:, columns] = probability[:, columns] * scale[:, None]
        return result


def state_name(cell: Cell, register: Register) -> str:
    """The output that shows the state of a register, else the name of the state in the Liberty file."""
    shown = (pin.name for pin in cell.outputs if pin.function is not None and pin.function.text == register.state)
    return next(shown, register.state)
