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
same, to compare the two engines on equal terms (docs/flows/synthesis.md); it is not used for results.

Clock buffers above the clock gates do not exist before layout and are not counted; the capacitance of the
clock pins is, in the block of the cell that has the pin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fineq_asic.activity.switching import Activity
from fineq_asic.library.liberty import Library, WireLoad
from fineq_asic.netlist.flat import NO_NET, FlatNetlist
from fineq_asic.power.cell_activity import CellActivity
from fineq_asic.power.cell_energy import CellEnergy, Circuit
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
        clock_net = int(clock[1][0]) if clock else NO_NET
        self.circuit = Circuit(self.loads, self.slews, library.voltage, clock_net)

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
                cells = CellEnergy(
                    self.circuit, CellActivity(group, part, toggles, high, self.options.independent_outputs)
                )
                for result, values in (
                    (energy["internal"], cells.internal()),
                    (energy["switching"], cells.switching()),
                    (leakage, cells.leakage()),
                ):
                    result += np.bincount(group.blocks[part], weights=values, minlength=count)
        watts = 1e-15 / (self.options.clock_ns * 1e-9)
        parts = zip(energy["internal"] * watts, energy["switching"] * watts, leakage * 1e-9, strict=True)
        return {block: Power(*map(float, part)) for block, part in zip(self.flat.blocks, parts, strict=True)}


def total_power(blocks: dict[str, Power] | Sequence[Power]) -> Power:
    """Sum over blocks."""
    values = blocks.values() if isinstance(blocks, dict) else blocks
    return sum(values, Power())
