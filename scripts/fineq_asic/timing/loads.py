"""Loads and slews of the nets of a flat netlist (see `fineq_asic.power.liberty_power` for the model)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fineq_asic.library.liberty import LookupTable, Pin, WireLoad
from fineq_asic.netlist.flat import NO_NET, CellGroup, FlatNetlist, logic_levels


def net_loads(flat: FlatNetlist, wire_load: WireLoad, output_load_ff: float) -> np.ndarray:
    """Capacitance in fF of every net: input pins, wire by fanout, output ports."""
    pins = np.zeros(flat.nets + 1)
    fanout = np.zeros(flat.nets + 1)
    for _, group in sorted(flat.groups.items()):
        for pin in group.cell.inputs:
            np.add.at(pins, group.nets[pin.name], pin.capacitance)
            np.add.at(fanout, group.nets[pin.name], 1)
    for direction, nets in flat.ports.values():
        if direction != "input":
            np.add.at(pins, nets, output_load_ff)
            np.add.at(fanout, nets, 1)
    return (pins + wire_load.capacitance(fanout))[:-1]


def net_slews(flat: FlatNetlist, loads: np.ndarray, input_slew_ns: float) -> np.ndarray:
    """Slew in ns of every net, propagated from registers and ports."""
    slews = np.full(flat.nets + 1, input_slew_ns)
    levels = np.append(logic_levels(flat), 0)
    steps: list[list[tuple[CellGroup, Pin, np.ndarray]]] = [[] for _ in range(int(levels.max()) + 1)]
    for _, group in sorted(flat.groups.items()):
        for pin in group.cell.outputs:
            nets = group.nets[pin.name]
            connected = np.flatnonzero(nets != NO_NET)
            for level in np.unique(levels[nets[connected]]):
                steps[level].append((group, pin, connected[levels[nets[connected]] == level]))
    for step in steps:
        for group, pin, members in step:
            nets = group.nets[pin.name][members]
            arcs = _mean_slew_tables(pin)
            if arcs:
                candidates = [t.lookup(slews[group.nets[name][members]], loads[nets]) for name, t in arcs.items()]
                slews[nets] = np.max(candidates, axis=0)
    return slews[:-1]


def _mean_slew_tables(pin: Pin) -> dict[str, LookupTable]:
    """One slew table per input: the mean over rise, fall and conditions."""
    return mean_tables(pin, ("rise", "fall"))


def mean_tables(pin: Pin, kinds: Sequence[str]) -> dict[str, LookupTable]:
    """One table per input of an output's timing arcs: the mean over conditions and the given `SlewArc` fields."""
    tables: dict[str, list[LookupTable]] = {}
    for arc in pin.slew:
        found = [table for table in (getattr(arc, kind) for kind in kinds) if table is not None]
        tables.setdefault(arc.related_pin, []).extend(found)
    return {
        name: LookupTable(found[0].slews, found[0].loads, np.mean([table.values for table in found], axis=0))
        for name, found in tables.items()
        if found
    }
