"""Reads the parts of a Liberty file that area, simulation and power need.

Units are those of the NanGate library and are checked on reading: ns, fF, nW, V. Tables of internal power
are energies per transition in fF V^2 = fJ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fineq_asic.errors import SynthesisError
from fineq_asic.library.boolean import BooleanFunction, parse_function
from fineq_asic.library.liberty_groups import LibertyGroup, numbers, parse_groups


@dataclass(frozen=True)
class LookupTable:
    """A Liberty lookup table over input slew (ns) and output load (fF), linear between its points.

    Attributes:
        slews, loads: grid points; empty where the table does not depend on that variable.
        values: array of shape [len(slews) or 1, len(loads) or 1].
    """

    slews: np.ndarray
    loads: np.ndarray
    values: np.ndarray

    def lookup(self, slew: Any, load: Any = 0.0) -> np.ndarray:
        """Values at slews and loads, arrays broadcast against each other; beyond the grid linear as at its edge."""
        slew, load = np.broadcast_arrays(np.asarray(slew, dtype=float), np.asarray(load, dtype=float))
        row, row_part = _locate(self.slews, slew)
        column, column_part = _locate(self.loads, load)
        next_row = np.minimum(row + 1, self.values.shape[0] - 1)
        next_column = np.minimum(column + 1, self.values.shape[1] - 1)
        low = self.values[row, column] * (1 - column_part) + self.values[row, next_column] * column_part
        high = self.values[next_row, column] * (1 - column_part) + self.values[next_row, next_column] * column_part
        return low * (1 - row_part) + high * row_part


def _locate(grid: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(grid) < 2:
        zeros = np.zeros(at.shape)
        return zeros.astype(int), zeros
    index = np.clip(np.searchsorted(grid, at, side="right") - 1, 0, len(grid) - 2)
    return index, (at - grid[index]) / (grid[index + 1] - grid[index])


@dataclass(frozen=True)
class PowerArc:
    """One `internal_power` group: energy (fJ) of a rise and a fall of the pin it belongs to.

    Attributes:
        related_pin: the input that causes the transition, or None for energy of an input pin itself.
        when: condition on the cell's other pins, or None.
    """

    related_pin: str | None
    when: BooleanFunction | None
    rise: LookupTable
    fall: LookupTable


@dataclass(frozen=True)
class SlewArc:
    """Output slew and delay tables (ns) of one `timing` group, by edge of the output."""

    related_pin: str
    rise: LookupTable | None
    fall: LookupTable | None
    delay_rise: LookupTable | None = None
    delay_fall: LookupTable | None = None


@dataclass
class Pin:
    """One pin of a cell; capacitances in fF."""

    name: str
    direction: str
    capacitance: float = 0.0
    max_capacitance: float | None = None
    function: BooleanFunction | None = None
    is_clock: bool = False
    power: list[PowerArc] = field(default_factory=list)
    slew: list[SlewArc] = field(default_factory=list)


@dataclass(frozen=True)
class Register:
    """The `ff` or `latch` group of a cell.

    Attributes:
        kind: `ff` or `latch`.
        state, inverse: names of the internal state and of its complement.
        data: next state of a flip-flop, data of a latch.
        clock: `clocked_on` of a flip-flop, `enable` of a latch.
        clear, preset: asynchronous controls or None.
    """

    kind: str
    state: str
    inverse: str
    data: BooleanFunction
    clock: BooleanFunction
    clear: BooleanFunction | None
    preset: BooleanFunction | None


@dataclass
class Cell:
    """One library cell: area in um^2, leakage in nW."""

    name: str
    area: float
    leakage: float
    conditional_leakage: list[tuple[BooleanFunction, float]] = field(default_factory=list)
    pins: dict[str, Pin] = field(default_factory=dict)
    register: Register | None = None
    clock_gate: bool = False

    @property
    def inputs(self) -> list[Pin]:
        return [pin for pin in self.pins.values() if pin.direction == "input"]

    @property
    def outputs(self) -> list[Pin]:
        return [pin for pin in self.pins.values() if pin.direction == "output"]


@dataclass
class WireLoad:
    """A `wire_load` group: capacitance (fF) of a net estimated from its fanout."""

    name: str
    capacitance_per_length: float
    slope: float
    lengths: list[tuple[int, float]]

    def capacitance(self, fanout: Any) -> np.ndarray:
        """Capacitance in fF for an array of fanouts; beyond the table the slope continues, below it is zero."""
        fanout = np.asarray(fanout, dtype=float)
        points, lengths = zip(*self.lengths, strict=True)
        length = np.interp(fanout, points, lengths)
        length = np.where(fanout > points[-1], lengths[-1] + (fanout - points[-1]) * self.slope, length)
        return np.where(fanout > 0, length, 0.0) * self.capacitance_per_length


@dataclass
class Library:
    """A Liberty library: cells by name, wire-load models by name, supply voltage in V."""

    name: str
    voltage: float
    cells: dict[str, Cell]
    wire_loads: dict[str, WireLoad]

    def cell(self, name: str) -> Cell:
        """The cell of that name.

        Raises:
            SynthesisError: the library has no such cell.
        """
        if name not in self.cells:
            raise SynthesisError(f"the library {self.name} has no cell {name}: the netlist is not mapped to it")
        return self.cells[name]


_AXES = {"input_net_transition": "slew", "input_transition_time": "slew", "total_output_net_capacitance": "load"}
"""What the variables of tables stand for."""


class _Tables:
    """Table templates of the library: which index is the slew and which the load."""

    def __init__(self, library: LibertyGroup) -> None:
        self.variables: dict[str, list[str]] = {"scalar": []}
        for group in library.groups:
            if group.kind in ("lu_table_template", "power_lut_template"):
                names = [group.attributes.get(f"variable_{i}", "") for i in (1, 2)]
                self.variables[group.arguments[0]] = [name for name in names if name]

    def read(self, group: LibertyGroup | None) -> LookupTable | None:
        if group is None:
            return None
        axes = {"slew": np.zeros(0), "load": np.zeros(0)}
        order = []
        for i, variable in enumerate(self.variables[group.arguments[0]], start=1):
            if variable not in _AXES:
                raise SynthesisError(f"a table over {variable} is not supported: {', '.join(_AXES)} are")
            axis = _AXES[variable]
            order.append(axis)
            axes[axis] = np.array(numbers(group.argument(f"index_{i}")))
        values = np.array(numbers(group.argument("values")))
        values = values.reshape([len(axes[axis]) for axis in order] or [1])
        if order == ["load", "slew"]:
            values = values.T
        return LookupTable(
            axes["slew"], axes["load"], values.reshape(max(1, len(axes["slew"])), max(1, len(axes["load"])))
        )


def _condition(group: LibertyGroup, name: str = "when") -> BooleanFunction | None:
    text = group.attributes.get(name)
    return parse_function(text) if text else None


def _read_pin(group: LibertyGroup, tables: _Tables) -> Pin:
    attributes = group.attributes
    pin = Pin(
        name=group.arguments[0],
        direction=attributes.get("direction", "input"),
        capacitance=float(attributes.get("capacitance", 0.0)),
        max_capacitance=float(attributes["max_capacitance"]) if "max_capacitance" in attributes else None,
        function=_condition(group, "function"),
        is_clock=attributes.get("clock") == "true" or attributes.get("clock_gate_clock_pin") == "true",
    )
    zero = LookupTable(np.zeros(0), np.zeros(0), np.zeros((1, 1)))
    for power in group.all("internal_power"):
        rise, fall = tables.read(power.first("rise_power")), tables.read(power.first("fall_power"))
        pin.power.append(PowerArc(power.attributes.get("related_pin"), _condition(power), rise or zero, fall or zero))
    for timing in group.all("timing"):
        names = ("rise_transition", "fall_transition", "cell_rise", "cell_fall")
        found = [tables.read(timing.first(name)) for name in names]
        if found[0] or found[1]:
            pin.slew.append(SlewArc(timing.attributes["related_pin"], *found))
    return pin


def _read_cell(group: LibertyGroup, tables: _Tables) -> Cell:
    cell = Cell(
        name=group.arguments[0],
        area=float(group.attributes.get("area", 0.0)),
        leakage=float(group.attributes.get("cell_leakage_power", 0.0)),
        clock_gate="clock_gating_integrated_cell" in group.attributes,
    )
    for leakage in group.all("leakage_power"):
        when = _condition(leakage)
        if when is not None:
            cell.conditional_leakage.append((when, float(leakage.attributes["value"])))
    for pin in group.all("pin"):
        cell.pins[pin.arguments[0]] = _read_pin(pin, tables)
    for kind, data, clock in (("ff", "next_state", "clocked_on"), ("latch", "data_in", "enable")):
        register = group.first(kind)
        if register is not None:
            cell.register = Register(
                kind=kind,
                state=register.arguments[0],
                inverse=register.arguments[1],
                data=parse_function(register.attributes[data]),
                clock=parse_function(register.attributes[clock]),
                clear=_condition(register, "clear"),
                preset=_condition(register, "preset"),
            )
    return cell


_UNITS = {"time_unit": "1ns", "leakage_power_unit": "1nW", "voltage_unit": "1V"}


@lru_cache(maxsize=4)
def read_liberty(path: Path) -> Library:
    """Read a Liberty file.

    Raises:
        SynthesisError: the file cannot be read, is cut short, or uses other units than ns, fF, nW and V.
    """
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise SynthesisError(f"cannot read the Liberty file {path}: {error.strerror}") from None
    library = parse_groups(text, path)
    for name, expected in _UNITS.items():
        if library.attributes.get(name) != expected:
            raise SynthesisError(f"{path.name} has {name} {library.attributes.get(name)}: only {expected} is supported")
    load_unit = [word.lower() for word in library.argument("capacitive_load_unit") or []]
    if load_unit != ["1", "ff"]:
        raise SynthesisError(f"{path.name} has capacitive_load_unit {load_unit}: only 1 ff is supported")
    tables = _Tables(library)
    cells = {group.arguments[0]: _read_cell(group, tables) for group in library.all("cell")}
    wire_loads = {}
    for group in library.all("wire_load"):
        lengths = [(int(values[0]), float(values[1])) for key, values in group.complex if key == "fanout_length"]
        wire_loads[group.arguments[0]] = WireLoad(
            name=group.arguments[0],
            capacitance_per_length=float(group.attributes["capacitance"]),
            slope=float(group.attributes["slope"]),
            lengths=sorted(lengths),
        )
    return Library(library.arguments[0], float(library.attributes["nom_voltage"]), cells, wire_loads)
