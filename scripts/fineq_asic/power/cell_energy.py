"""Energy and leakage of cells of one kind from the tables of the library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fineq_asic.library.liberty import Pin, PowerArc
from fineq_asic.library.recognition import enable_pin
from fineq_asic.netlist.flat import NO_NET
from fineq_asic.power.cell_activity import CellActivity


@dataclass(frozen=True, eq=False)
class Circuit:
    """What surrounds the cells.

    Attributes:
        loads, slews: fF and ns by net, with a last entry for open pins.
        voltage: of the supply, V.
        clock_net: net of the clock port, or `NO_NET`.
    """

    loads: np.ndarray
    slews: np.ndarray
    voltage: float
    clock_net: int


class CellEnergy:
    """Results are arrays over the cells, in fJ per cycle or nW."""

    def __init__(self, circuit: Circuit, cells: CellActivity) -> None:
        self.circuit, self.cells = circuit, cells

    def leakage(self) -> np.ndarray:
        cell = self.cells.cell
        if not cell.conditional_leakage:
            return np.full(self.cells.size, cell.leakage)
        masks = np.stack([self.cells.states.holds(when) for when, _ in cell.conditional_leakage], axis=1)
        shares = self.cells.probability @ masks
        values = np.array([value for _, value in cell.conditional_leakage])
        return shares @ values + np.maximum(1 - shares.sum(axis=1), 0.0) * cell.leakage

    def switching(self) -> np.ndarray:
        voltage = self.circuit.voltage
        result = np.zeros(self.cells.size)
        for pin in self.cells.cell.outputs:
            load = np.where(self.cells.nets[pin.name] == NO_NET, 0.0, self.circuit.loads[self.cells.nets[pin.name]])
            result += 0.5 * load * voltage**2 * self.cells.toggles[pin.name]
        for pin in self.cells.cell.inputs:  # the ideal clock has no driver: its pins count here
            if pin.is_clock:
                from_port = self.cells.nets[pin.name] == self.circuit.clock_net
                result += from_port * 0.5 * pin.capacitance * voltage**2 * self.cells.toggles[pin.name]
        return result

    def internal(self) -> np.ndarray:
        result = np.zeros(self.cells.size)
        for pin in self.cells.cell.pins.values():
            if not pin.power:
                continue
            if pin.direction == "output":
                result += self._output_energy(pin)
            elif pin.is_clock and self.cells.exact:
                result += self._clock_energy(pin)
            else:
                result += self._input_energy(pin)
        return result

    def _slew(self, pin: str) -> np.ndarray:
        return self.circuit.slews[self.cells.nets[pin]]

    def _mean_energy(self, arc: PowerArc, slew_pin: str, load: np.ndarray | float) -> np.ndarray:
        slew = self._slew(slew_pin)
        return 0.5 * (arc.rise.lookup(slew, load) + arc.fall.lookup(slew, load))

    def _output_energy(self, pin: Pin) -> np.ndarray:
        """Energy of the output's transitions, shared over the arcs that may have caused them."""
        load = self.circuit.loads[self.cells.nets[pin.name]]
        arcs = [(arc, arc.related_pin) for arc in pin.power if arc.related_pin is not None]
        if self.cells.cell.clock_gate and self.cells.exact:  # the output moves only while the enable is high
            enable = enable_pin(self.cells.cell)
            enabled = [
                (arc, cause) for arc, cause in arcs if arc.when is not None and arc.when.evaluate({enable: 1}, 1)
            ]
            arcs = enabled or arcs
        weights = np.stack([self._goes_through(pin, arc, cause) * self.cells.toggles[cause] for arc, cause in arcs])
        total = weights.sum(axis=0)
        shares = np.where(total > 0, weights / np.where(total > 0, total, 1.0), 1.0 / len(arcs))
        energies = np.stack([self._mean_energy(arc, cause, load) for arc, cause in arcs])
        return self.cells.toggles[pin.name] * (shares * energies).sum(axis=0)

    def _goes_through(self, output: Pin, arc: PowerArc, cause: str) -> np.ndarray:
        """Probability that a change of the input goes through to the output under the arc's condition."""
        latch = self.cells.latch
        if self.cells.exact and latch is not None and cause in latch.data.inputs:
            return self.cells.open_share()  # data goes through an open latch only
        sensitised = self.cells.states.sensitised(output, cause)
        if not self.cells.exact and output.function is not None and cause in output.function.inputs:
            return self.cells.probability @ sensitised
        return self.cells.probability @ (sensitised * self.cells.states.holds(arc.when))

    def _input_energy(self, pin: Pin) -> np.ndarray:
        """Energy inside the cell for transitions of an input, whether the output moves or not."""
        result = np.zeros(self.cells.size)
        for arc in pin.power:
            share = self.cells.probability @ self._condition(pin, arc)
            result += share * self._mean_energy(arc, pin.name, 0.0)
        return self.cells.toggles[pin.name] * result

    def _condition(self, pin: Pin, arc: PowerArc) -> np.ndarray:
        """States in which an input's energy arc applies."""
        outputs = [o for o in self.cells.cell.outputs if arc.when is not None and o.name in arc.when.inputs]
        if not self.cells.exact and outputs and outputs[0].function and pin.name in outputs[0].function.inputs:
            return self.cells.states.sensitised(outputs[0], pin.name)
        return self.cells.states.holds(arc.when)

    def _clock_energy(self, pin: Pin) -> np.ndarray:
        """Energy of a clock pin, rising and falling edges apart: what the state is differs between them."""
        rising, falling = self.cells.before_edges(pin)
        slew = self._slew(pin.name)
        result = np.zeros(self.cells.size)
        for arc in pin.power:
            holds = self.cells.states.holds(arc.when)
            result += (rising @ holds) * arc.rise.lookup(slew) + (falling @ holds) * arc.fall.lookup(slew)
        return 0.5 * self.cells.toggles[pin.name] * result
