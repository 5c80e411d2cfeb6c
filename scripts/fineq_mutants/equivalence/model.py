"""The model behind a proof of equivalence: a circuit with a fault and without, inputs shared, outputs compared.

What is cut out, modules inside and memories, becomes ports: what it gives is free and the same on both sides, what goes
into it must agree. If it always does, it gives the same, so a proof holds for the whole.

Beside the one output that says whether the sides differ the model shows all registers of both sides, which nobody asks
to agree: they are there for the prover (`fineq_mutants.equivalence.sweeping`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from fineq_mutants.circuits import Circuit
from fineq_mutants.netlist import Bit, Netlist, constant
from fineq_mutants.operators import Site, plant

TOP = "miter"
"""Name of the model."""

DIFFER = "differ"
"""Its output that is high if the sides do not agree."""

SHOWN = "gold.", "gate."
"""Beginnings of the names of its outputs that show registers of one side; a number follows, the same for both."""

Way = tuple[Circuit, ...]
"""A circuit, one that holds it, one that holds that, and so on."""

_WITH_ATTRIBUTES = ("cells", "memories", "netnames")

NEXT_VALUE = {"$dff": (), "$dffe": ("EN",), "$sdff": ("SRST",), "$sdffe": ("EN", "SRST"), "$sdffce": ("SRST", "EN")}
"""Registers that can be cut out, and what decides their next value, the last port over those before."""

_MEMORY = ("$memrd_v2", "$memwr_v2", "$meminit_v2")


def _registers(cells: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, list[Bit]]]:
    """Names and outputs of the registers among cells of Yosys."""
    for name, cell in cells.items():
        if cell["type"].startswith("$") and "Q" in cell["connections"]:
            yield name, cell["connections"]["Q"]


def state_bits(circuit: Circuit, circuits: Mapping[str, Circuit]) -> int:
    """Bits of registers and memories, with those of all modules inside; tables do not count."""
    cells = circuit.netlist["cells"].values()
    registers = _registers(circuit.netlist["cells"])
    written = {cell["parameters"]["MEMID"].lstrip("\\") for cell in cells if cell["type"] == "$memwr_v2"}
    memories = circuit.netlist.get("memories", {}).items()
    inside = [circuits[cell["type"]] for cell in cells if cell["type"] in circuits]
    return (
        sum(len(bits) for _, bits in registers)
        + sum(memory["width"] * memory["size"] for name, memory in memories if name in written)
        + sum(state_bits(other, circuits) for other in inside)
    )


def holds(circuit: Circuit, module: str, circuits: Mapping[str, Circuit]) -> bool:
    """Whether a module is somewhere inside a circuit, or the circuit itself."""
    return circuit.module == module or any(
        holds(circuits[name], module, circuits) for name in circuit.instances if name in circuits
    )


def model(
    way: Way,
    site: Site,
    circuits: Mapping[str, Circuit],
    inside: Collection[str],
    memories: bool,
    registers: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Modules of the model, as in Yosys' JSON; the top is `TOP`.

    Args:
        way: its first circuit has the fault, its last one is compared.
        site: the fault.
        circuits: all there are, by name.
        inside: modules that are not cut out; none of them may hold the circuit with the fault.
        memories: whether these stay in.
        registers: bits of the widest that stay in, beside the one with the fault; None: all stay.
    """
    gold, gate = (_Side(name, circuits, inside, memories, registers) for name in ("gold", "gate"))
    gold_top, gate_top = gold.way(way, site, False), gate.way(way, site, True)
    return gold.modules | gate.modules | {TOP: _top(gold.modules[gold_top], gold_top, gate_top, gold.shown[gold_top])}


class _Side:
    """Modules of one side.

    Attributes:
        modules: as in Yosys' JSON.
        shown: of each the outputs that show registers.
    """

    def __init__(
        self, name: str, circuits: Mapping[str, Circuit], inside: Collection[str], memories: bool, registers: int | None
    ) -> None:
        self.name, self.circuits, self.inside, self.memories = name, circuits, inside, memories
        self.registers = registers
        self.modules: dict[str, dict[str, Any]] = {}
        self.shown: dict[str, list[str]] = {}
        self._streams = {name: other.streams for name, other in circuits.items()}
        self._whole: dict[str, str] = {}

    def way(self, way: Way, site: Site, planted: bool) -> str:
        """The module that is compared."""
        part = ""
        for level, circuit in enumerate(way):
            netlist = circuit.copy()
            if planted and not level:
                plant(netlist, site, "1")
            below = {way[level - 1].module: part} if level else {}
            part = self._part(circuit, netlist, below, top=level == len(way) - 1, fault="" if level else site.cell)
        return part

    def _without_fault(self, module: str) -> str:
        if module not in self._whole:
            circuit = self.circuits[module]
            self._whole[module] = self._part(circuit, circuit.copy(), {}, top=False)
        return self._whole[module]

    def _part(self, circuit: Circuit, netlist: Netlist, below: Mapping[str, str], top: bool, fault: str = "") -> str:
        """A module whose instances are others of this side, or have become ports; `fault`: the cell with the fault."""
        others = sorted(circuit.instances & {*self.inside} - {*below})
        parts = {**below, **{module: self._without_fault(module) for module in others}}
        part = f"{self.name}_{len(self.modules)}"
        apart = {
            name
            for name, bits in _registers(netlist.cells)
            if self.registers is not None and len(bits) > self.registers and name != fault
            if netlist.cells[name]["type"] in NEXT_VALUE
        }
        shown = show_registers(netlist, apart)
        for module, held in parts.items():
            shown += self._hold(netlist, module, held)
        own = circuit.streams if top else {}
        self.modules[part] = _bare(cut(netlist, own, self._streams, parts.values(), self.memories, apart))
        self.shown[part] = shown
        return part

    def _hold(self, netlist: Netlist, module: str, part: str) -> list[str]:
        """Let the instances of a module be those of another one, which has more ports: what is cut out of it."""
        shown = []
        for name, cell in netlist.cells.items():
            if cell["type"] == module:
                cell["type"] = part
                for port, entry in self.modules[part]["ports"].items():
                    if port not in cell["connections"]:
                        bits, direction = netlist.fresh(len(entry["bits"])), entry["direction"]
                        cell["connections"][port], cell["port_directions"][port] = bits, direction
                        netlist.module["ports"][f"cut_{name}_{port}"] = {"direction": direction, "bits": bits}
                        if port in self.shown[part]:
                            shown.append(f"cut_{name}_{port}")
        return shown


def _bare(module: Mapping[str, Any]) -> dict[str, Any]:
    """A module without what decides nothing, such as places in the sources."""

    def bare(entry: Mapping[str, Any]) -> dict[str, Any]:
        return {**entry, "attributes": {name: value for name, value in entry["attributes"].items() if name == "init"}}

    parts = {part: {name: bare(entry) for name, entry in module.get(part, {}).items()} for part in _WITH_ATTRIBUTES}
    return {"attributes": {}, "ports": module["ports"], **parts}


def show_registers(netlist: Netlist, apart: Collection[str] = ()) -> list[str]:
    """Let every register but some be an output as well; returns their names."""
    shown = {f"register_{name}": bits for name, bits in _registers(netlist.cells) if name not in apart}
    for port, bits in shown.items():
        netlist.module["ports"][port] = {"direction": "output", "bits": [*bits]}
    return [*shown]


def cut(
    netlist: Netlist,
    own: Mapping[str, str],
    streams: Mapping[str, Mapping[str, str]],
    kept: Collection[str] = (),
    memories: bool = True,
    registers: Collection[str] = (),
) -> dict[str, Any]:
    """A module whose instances have become ports.

    Args:
        netlist: the module; changed.
        own: its streams, as `Circuit.streams`: payloads that it gives are zero while they do not count.
        streams: of the modules of its instances, by their names.
        kept: modules whose instances stay.
        memories: whether memories stay; if not, their ports have become ports of the module.
        registers: those that become ports as well.

    Returns:
        An entry of Yosys' JSON.
    """
    ports = netlist.module["ports"]
    for payload, valid in own.items():
        if ports[payload]["direction"] == "output" and ports[payload]["bits"]:
            netlist.replace_port(payload, _while_high(netlist, ports[payload]["bits"], ports[valid]["bits"]))
    instances = [
        name for name, cell in netlist.cells.items() if not cell["type"].startswith("$") and cell["type"] not in kept
    ]
    for name in sorted(instances):
        cell = netlist.cells.pop(name)
        connections = cell["connections"]
        for payload, valid in streams.get(cell["type"], {}).items():
            if cell["port_directions"][payload] == "input" and connections[payload]:
                connections[payload] = _while_high(netlist, connections[payload], connections[valid])
        _to_ports(netlist, name, cell, connections)
    if not memories:
        for name in sorted(name for name, cell in netlist.cells.items() if cell["type"] in _MEMORY):
            _cut_memory(netlist, name)
        netlist.module.pop("memories", None)
    for name in sorted(registers):
        _cut_register(netlist, name)
    return netlist.module


def _to_ports(netlist: Netlist, name: str, cell: Mapping[str, Any], connections: Mapping[str, list[Bit]]) -> None:
    for port, bits in sorted(connections.items()):
        direction = cell["port_directions"][port]
        other = {"input": "output", "output": "input"}[direction]
        if bits:
            netlist.module["ports"][f"cut_{name}_{port}"] = {"direction": other, "bits": bits}


def _cut_memory(netlist: Netlist, name: str) -> None:
    """One port of a memory: what is written counts where it is, an address while anything is written or read."""
    cell = netlist.cells.pop(name)
    connections = dict(cell["connections"])
    if cell["type"] == "$meminit_v2":
        return  # the same on both sides
    enables = connections["EN"]
    if cell["type"] == "$memwr_v2":
        pairs = zip(connections["DATA"], enables, strict=True)
        connections["DATA"] = [netlist.gate("$and", bit, enable) for bit, enable in pairs]
        connections["ADDR"] = _while_high(netlist, connections["ADDR"], [_any_of(netlist, enables)])
    elif int(cell["parameters"]["CLK_ENABLE"], 2):
        connections["ADDR"] = _while_high(netlist, connections["ADDR"], enables)
    _to_ports(netlist, name, cell, connections)


def _cut_register(netlist: Netlist, name: str) -> None:
    """A register: its next value must agree, whether it is taken, kept or the one of a reset."""
    cell = netlist.cells.pop(name)
    connections, parameters = cell["connections"], cell["parameters"]
    word = connections["D"]
    for port in NEXT_VALUE[cell["type"]]:
        if port == "EN":
            other = connections["Q"]
        else:
            other = list(reversed(parameters["SRST_VALUE"]))
        active = int(parameters[f"{port}_POLARITY"], 2)
        low, high = (other, word) if active == (port == "EN") else (word, other)
        word = netlist.mux(low, high, connections[port][0])
    _to_ports(netlist, name, cell, {"CLK": connections["CLK"], "D": word, "Q": connections["Q"]})


def _while_high(netlist: Netlist, word: Sequence[Bit], condition: Sequence[Bit]) -> list[Bit]:
    return netlist.mux(constant(0, len(word)), word, condition[0])


def _compare(netlist: Netlist, kind: str, one: Sequence[Bit], other: Sequence[Bit]) -> Bit:
    """`$eq` or `$ne` of two words."""
    (result,) = netlist.fresh(1)
    widths = {"A_SIGNED": 0, "A_WIDTH": len(one), "B_SIGNED": 0, "B_WIDTH": len(other), "Y_WIDTH": 1}
    netlist.add_cell(kind, widths, {"A": [*one], "B": [*other]}, {"Y": [result]})
    return result


def _any_of(netlist: Netlist, bits: Sequence[Bit]) -> Bit:
    (result,) = netlist.fresh(1)
    netlist.add_cell("$reduce_or", {"A_SIGNED": 0, "A_WIDTH": len(bits), "Y_WIDTH": 1}, {"A": [*bits]}, {"Y": [result]})
    return result


def _top(gold: Mapping[str, Any], gold_top: str, gate_top: str, shown: Iterable[str]) -> dict[str, Any]:
    """The model around its two sides."""
    top = Netlist({"attributes": {}, "ports": {}, "cells": {}, "netnames": {}})
    ports = top.module["ports"]
    registers, differ = {*shown}, []
    sides: tuple[dict[str, list[Bit]], dict[str, list[Bit]]] = ({}, {})
    directions = {port: entry["direction"] for port, entry in gold["ports"].items() if entry["bits"]}
    for port, direction in directions.items():
        width = len(gold["ports"][port]["bits"])
        one, other = (side.setdefault(port, top.fresh(width)) for side in sides)
        if direction == "input":
            sides[1][port] = one
            ports[f"in_{port}"] = {"direction": "input", "bits": one}
        elif port in registers:
            number = len(ports)
            for begin, bits in zip(SHOWN, (one, other), strict=True):
                ports[f"{begin}{number}"] = {"direction": "output", "bits": bits}
        else:
            differ.append(_compare(top, "$ne", one, other))
    ports[DIFFER] = {"direction": "output", "bits": [_any_of(top, differ)] if differ else ["0"]}
    for name, side in zip((gold_top, gate_top), sides, strict=True):
        inputs, outputs = (
            {port: bits for port, bits in side.items() if directions[port] == way} for way in ("input", "output")
        )
        top.add_cell(name, {}, inputs, outputs)
    return top.module
