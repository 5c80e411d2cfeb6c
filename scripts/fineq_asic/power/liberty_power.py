"""Power from the Liberty tables and measured switching activity.

For every cell:

* switching: C V^2 / 2 per transition of the net it drives; C is the pins on the net and the wire-load model.
* internal: the energy tables of its pins at the input slew and output load; output tables per transition of
  the output, shared over the inputs in proportion to how often these toggle; input tables per transition of
  the input. Tables with a condition count with the probability of the condition.
* leakage: the table of leakage by state, weighted with the probability of the state.

State probabilities come from the share of time each pin is high, taken as independent; outputs follow from
the inputs. Three cases are exact instead, as they matter most: how often a register's D differs from its Q at
a clock edge follows from its toggle count, a gated clock runs only while its enable is high, and an open latch
shows its data. Slews are
propagated: each net has one slew, the largest over the inputs of its driver of the mean of rise and fall.

OpenSTA takes the outputs as independent of the inputs as well, so that a flip-flop spends half of its time in
states with Q equal to QN, for which the library has no energy. `PowerOptions.independent_outputs` does the
same, to compare the two engines on equal terms (docs/synthesis.md); it is not used for results.

Clock buffers above the clock gates do not exist before layout and are not counted; the capacitance of the
clock pins is, in the block of the cell that has the pin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from fineq_asic.activity.switching import Activity
from fineq_asic.library.boolean import BooleanFunction
from fineq_asic.library.liberty import Cell, Library, Pin, PowerArc, Register, WireLoad
from fineq_asic.netlist.flat import NO_NET, CellGroup, FlatNetlist
from fineq_asic.timing.loads import net_loads, net_slews

_CHUNK = 1 << 17


@dataclass(frozen=True)
class Power:
    """Power in W."""

    internal: float = 0.0
    switching: float = 0.0
    leakage: float = 0.0

    @property
    def total(self) -> float:
        return self.internal + self.switching + self.leakage

    def __add__(self, other: Power) -> Power:
        return Power(self.internal + other.internal, self.switching + other.switching, self.leakage + other.leakage)


@dataclass(frozen=True)
class PowerOptions:
    """Operating point.

    Attributes:
        clock_ns: clock period.
        clock_port: name of the clock port.
        input_slew_ns: slew of the clock and of all input ports.
        output_load_ff: load of each output port.
        independent_outputs: state probabilities as OpenSTA takes them, for comparisons only.
    """

    clock_ns: float = 2.5
    clock_port: str = "clk"
    input_slew_ns: float = 0.02
    output_load_ff: float = 5.0
    independent_outputs: bool = False


class _States:
    """All states of a cell's pins: which inputs and register state go together with which outputs."""

    def __init__(self, cell: Cell, independent_outputs: bool = False) -> None:
        self.cell = cell
        self.free = [pin.name for pin in cell.inputs]
        if independent_outputs:
            self.free += [pin.name for pin in cell.outputs]
            self.rows = [dict(zip(self.free, bits, strict=True)) for bits in product((0, 1), repeat=len(self.free))]
            return
        state_pin = None
        if cell.register is not None:
            state = cell.register.state
            state_pin = next((pin.name for pin in cell.outputs if pin.function and pin.function.text == state), None)
            self.free.append(state_pin or cell.register.state)
        rows = [dict(zip(self.free, bits, strict=True)) for bits in product((0, 1), repeat=len(self.free))]
        for row in rows:
            if cell.register is not None:
                state = row[self.free[-1]]
                row[cell.register.state], row[cell.register.inverse] = state, 1 - state
            for pin in cell.outputs:
                if cell.clock_gate:
                    row[pin.name] = min(row[i.name] for i in cell.inputs)  # the clock while enabled
                elif pin.function is not None:
                    row[pin.name] = pin.function.evaluate(row, 1)
        self.rows = rows

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


class PowerEngine:
    """Power of a flat netlist.

    Args:
        flat: the netlist.
        library: its cells.
        wire_load: capacitance of wires.
        options: clock and environment.
    """

    def __init__(
        self, flat: FlatNetlist, library: Library, wire_load: WireLoad, options: PowerOptions | None = None
    ) -> None:
        self.flat, self.library = flat, library
        self.options = options or PowerOptions()
        self.loads = np.append(net_loads(flat, wire_load, self.options.output_load_ff), 0.0)
        self.slews = np.append(net_slews(flat, self.loads[:-1], self.options.input_slew_ns), self.options.input_slew_ns)
        clock = flat.ports.get(self.options.clock_port)
        self.clock_net = int(clock[1][0]) if clock else NO_NET

    def evaluate(self, activity: Activity) -> dict[str, Power]:
        """Power in W by block.

        Raises:
            ValueError: the activity belongs to another netlist.
        """
        if len(activity.toggles) != self.flat.nets:
            raise ValueError(f"activity of {len(activity.toggles)} nets for a netlist of {self.flat.nets}")
        toggles, high = np.append(activity.toggles, 0.0), np.append(activity.high, 0.0)
        count = len(self.flat.blocks)
        energy = {name: np.zeros(count) for name in ("internal", "switching")}  # fJ per cycle
        leakage = np.zeros(count)  # nW
        for _, group in sorted(self.flat.groups.items()):
            for start in range(0, len(group), _CHUNK):
                part = slice(start, start + _CHUNK)
                cells = _Cells(self, group, part, toggles, high)
                for result, values in (
                    (energy["internal"], cells.internal()),
                    (energy["switching"], cells.switching()),
                    (leakage, cells.leakage()),
                ):
                    result += np.bincount(group.blocks[part], weights=values, minlength=count)
        watts = 1e-15 / (self.options.clock_ns * 1e-9)
        parts = zip(energy["internal"] * watts, energy["switching"] * watts, leakage * 1e-9, strict=True)
        return {block: Power(*map(float, part)) for block, part in zip(self.flat.blocks, parts, strict=True)}


class _Cells:
    """A chunk of cells of one kind; results are arrays over them, in fJ per cycle or nW."""

    def __init__(
        self, engine: PowerEngine, group: CellGroup, part: slice, toggles: np.ndarray, high: np.ndarray
    ) -> None:
        self.engine, self.cell = engine, group.cell
        self.nets = {pin: nets[part] for pin, nets in group.nets.items()}
        self.size = len(group.blocks[part])
        self.toggles = {pin: toggles[nets] for pin, nets in self.nets.items()}
        self.high = {pin: np.clip(high[nets], 0.0, 1.0) for pin, nets in self.nets.items()}
        self._repair_open_outputs()
        self.exact = not engine.options.independent_outputs
        self.states = _States(group.cell, not self.exact)
        self.state_high = dict(self.high)
        if group.cell.register is not None:
            self.state_high.setdefault(group.cell.register.state, self._state_high())
        self.probability = self.states.probabilities(self.state_high)
        if self.exact and self.latch is not None:
            self.probability = self._latch_probability()

    @property
    def latch(self) -> Register | None:
        register = self.cell.register
        return register if register is not None and register.kind == "latch" else None

    def _latch_probability(self) -> np.ndarray:
        """An open latch shows its data: no other state occurs then."""
        data, state, pin = self.latch.data.inputs[0], self.states.free[-1], self.latch.clock.inputs[0]
        result = np.zeros_like(self.probability)
        d, q, level = self.high[data], self.state_high[state], self.high[pin]
        follows = {(1, 1): d, (0, 0): 1 - d, (0, 1): 0 * d, (1, 0): 0 * d}
        free = {(a, b): (d if a else 1 - d) * (q if b else 1 - q) for a, b in follows}
        for value in (0, 1):
            share = level if value else 1 - level
            joint = follows if self.latch.clock.evaluate({pin: value}, 1) else free
            fixed = self._conditioned({pin: np.full(self.size, float(value))})
            result += share[:, None] * self._with_joint(fixed, data, state, joint)
        return result

    def _repair_open_outputs(self) -> None:
        """Open register outputs switch inside the cell all the same: take them from their complement."""
        register = self.cell.register
        if register is None:
            return
        states = (register.state, register.inverse)
        pins = [pin.name for pin in self.cell.outputs if pin.function and pin.function.text in states]
        if len(pins) == 2:
            for pin, other in (pins, pins[::-1]):
                is_open = self.nets[pin] == NO_NET
                self.toggles[pin] = np.where(is_open, self.toggles[other], self.toggles[pin])
                self.high[pin] = np.where(is_open, 1 - self.high[other], self.high[pin])

    def _state_high(self) -> np.ndarray:
        output = self.cell.outputs[0]
        inverted = output.function is not None and output.function.text == self.cell.register.inverse
        return 1 - self.high[output.name] if inverted else self.high[output.name]

    def leakage(self) -> np.ndarray:
        cell = self.cell
        if not cell.conditional_leakage:
            return np.full(self.size, cell.leakage)
        masks = np.stack([self.states.holds(when) for when, _ in cell.conditional_leakage], axis=1)
        shares = self.probability @ masks
        values = np.array([value for _, value in cell.conditional_leakage])
        return shares @ values + np.maximum(1 - shares.sum(axis=1), 0.0) * cell.leakage

    def switching(self) -> np.ndarray:
        voltage = self.engine.library.voltage
        result = np.zeros(self.size)
        for pin in self.cell.outputs:
            load = np.where(self.nets[pin.name] == NO_NET, 0.0, self.engine.loads[self.nets[pin.name]])
            result += 0.5 * load * voltage**2 * self.toggles[pin.name]
        for pin in self.cell.inputs:  # the ideal clock has no driver: its pins count here
            if pin.is_clock:
                from_port = self.nets[pin.name] == self.engine.clock_net
                result += from_port * 0.5 * pin.capacitance * voltage**2 * self.toggles[pin.name]
        return result

    def internal(self) -> np.ndarray:
        result = np.zeros(self.size)
        for pin in self.cell.pins.values():
            if not pin.power:
                continue
            if pin.direction == "output":
                result += self._output_energy(pin)
            elif pin.is_clock and self.exact:
                result += self._clock_energy(pin)
            else:
                result += self._input_energy(pin)
        return result

    def _slew(self, pin: str) -> np.ndarray:
        return self.engine.slews[self.nets[pin]]

    def _mean_energy(self, arc: PowerArc, slew_pin: str, load: np.ndarray | float) -> np.ndarray:
        slew = self._slew(slew_pin)
        return 0.5 * (arc.rise.lookup(slew, load) + arc.fall.lookup(slew, load))

    def _output_energy(self, pin: Pin) -> np.ndarray:
        """Energy of the output's transitions, shared over the arcs that may have caused them."""
        load = self.engine.loads[self.nets[pin.name]]
        arcs = [arc for arc in pin.power if arc.related_pin is not None]
        if self.cell.clock_gate and self.exact:  # the output moves only while the enable is high
            enabled = [arc for arc in arcs if arc.when is not None and "!" not in arc.when.text]
            arcs = enabled or arcs
        weights = np.stack([self._cause(pin, arc) * self.toggles[arc.related_pin] for arc in arcs])
        total = weights.sum(axis=0)
        shares = np.where(total > 0, weights / np.where(total > 0, total, 1.0), 1.0 / len(arcs))
        energies = np.stack([self._mean_energy(arc, arc.related_pin, load) for arc in arcs])
        return self.toggles[pin.name] * (shares * energies).sum(axis=0)

    def _cause(self, output: Pin, arc: PowerArc) -> np.ndarray:
        """Probability that a change of the arc's input goes through to the output under the arc's condition."""
        if self.exact and self.latch is not None and arc.related_pin in self.latch.data.inputs:
            pin = self.latch.clock.inputs[0]  # data goes through an open latch only
            return self.high[pin] if self._opens_high() else 1 - self.high[pin]
        sensitised = self.states.sensitised(output, arc.related_pin)
        if not self.exact and output.function is not None and arc.related_pin in output.function.inputs:
            return self.probability @ sensitised
        return self.probability @ (sensitised * self.states.holds(arc.when))

    def _input_energy(self, pin: Pin) -> np.ndarray:
        """Energy inside the cell for transitions of an input, whether the output moves or not."""
        result = np.zeros(self.size)
        for arc in pin.power:
            share = self.probability @ self._condition(pin, arc)
            result += share * self._mean_energy(arc, pin.name, 0.0)
        return self.toggles[pin.name] * result

    def _condition(self, pin: Pin, arc: PowerArc) -> np.ndarray:
        """States in which an input's energy arc applies."""
        outputs = [o for o in self.cell.outputs if arc.when is not None and o.name in arc.when.inputs]
        if not self.exact and outputs and outputs[0].function and pin.name in outputs[0].function.inputs:
            return self.states.sensitised(outputs[0], pin.name)
        return self.states.holds(arc.when)

    def _clock_energy(self, pin: Pin) -> np.ndarray:
        """Energy of a clock pin, rising and falling edges apart: what the state is differs between them."""
        rising, falling = self._edge_states(pin)
        slew = self._slew(pin.name)
        result = np.zeros(self.size)
        for arc in pin.power:
            holds = self.states.holds(arc.when)
            result += (rising @ holds) * arc.rise.lookup(slew) + (falling @ holds) * arc.fall.lookup(slew)
        return 0.5 * self.toggles[pin.name] * result

    def _edge_states(self, pin: Pin) -> tuple[np.ndarray, np.ndarray]:
        """Probability of each state just before a rising and just before a falling clock edge."""
        before_rise = self._conditioned({pin.name: np.zeros(self.size)})
        before_fall = self._conditioned({pin.name: np.ones(self.size)})
        register = self.cell.register
        if register is None or len(register.data.inputs) != 1:
            return before_rise, before_fall
        # P(D != Q) at an edge is the toggle rate of Q per clock pulse.
        data, state = register.data.inputs[0], self.states.free[-1]
        pulses = np.maximum(0.5 * self.toggles[pin.name], 1e-30)
        d, q = self.high[data], self.state_high[state]
        output = self.cell.outputs[0].name
        differ = np.clip(self.toggles[output] / pulses, np.abs(d - q), np.minimum(d + q, 2 - d - q))
        d_only, q_only = 0.5 * (differ + d - q), 0.5 * (differ - d + q)
        joint = {(1, 0): d_only, (0, 1): q_only, (1, 1): d - d_only, (0, 0): 1 - d - q_only}
        if self.latch is not None:  # as for a flip-flop when it opens; when it closes it shows its data
            follows = {(1, 0): 0 * q, (0, 1): 0 * q, (1, 1): q, (0, 0): 1 - q}
            joints = (joint, follows) if self._opens_high() else (follows, joint)
            rise, fall = (
                self._with_joint(before, data, state, j)
                for before, j in zip((before_rise, before_fall), joints, strict=True)
            )
            return rise, fall
        return self._with_joint(before_rise, data, state, joint), self._with_joint(before_fall, data, state, joint)

    def _opens_high(self) -> bool:
        """Whether the latch is open while its enable pin is high."""
        return bool(self.latch.clock.evaluate({self.latch.clock.inputs[0]: 1}, 1))

    def _conditioned(self, fixed: dict[str, np.ndarray]) -> np.ndarray:
        return self.states.probabilities(self.state_high | fixed)

    def _with_joint(self, probability: np.ndarray, data: str, state: str, joint: dict) -> np.ndarray:
        """Replace the product of the marginals of two pins by their joint probability."""
        keys = [(row[data], row[state]) for row in self.states.rows]
        result = np.empty_like(probability)
        for key, target in joint.items():
            columns = [i for i, k in enumerate(keys) if k == key]
            current = probability[:, columns].sum(axis=1)
            scale = np.where(current > 0, np.maximum(target, 0.0) / np.where(current > 0, current, 1.0), 0.0)
            result[:, columns] = probability[:, columns] * scale[:, None]
        return result


def total_power(blocks: dict[str, Power] | Sequence[Power]) -> Power:
    """Sum over blocks."""
    values = blocks.values() if isinstance(blocks, dict) else blocks
    return sum(values, Power())
