"""A circuit with no registers but those right behind a fault, for a proof that needs no more than two stages.

What a fault changes in one stage may be made up for in the next, such as a range that ends one later where a table
begins again with zeros. The rest of a pipeline hides that from a prover. Registers that are cut out are free and the
same on both sides, and what they would take must agree, as `fineq_mutants.equivalence.model.cut` has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from fineq_mutants.circuits import Circuit
from fineq_mutants.equivalence.model import NEXT_VALUE, cut
from fineq_mutants.netlist import Bit

Cells = Mapping[str, Mapping[str, Any]]


def windowed(circuit: Circuit, cell: str, stages: int) -> Circuit:
    """The circuit with the registers of so many stages behind a cell, and with all its memories and instances."""
    netlist = circuit.copy()
    known = {name for name, other in netlist.cells.items() if other["type"] in NEXT_VALUE}
    outside = known - window(netlist.cells, cell, stages)
    module = cut(netlist, {}, {}, kept=circuit.instances, memories=True, registers=outside)
    # A fault that is planted later gives its cells the names that those of the cuts have.
    cells = module["cells"].items()
    module["cells"] = {name if name in circuit.netlist["cells"] else f"$window{name}": other for name, other in cells}
    return Circuit(circuit.module, circuit.block, circuit.verilog, module, circuit.streams)


def window(cells: Cells, cell: str, stages: int) -> set[str]:
    """Names of the registers of so many stages behind all that a cell depends on in a cycle."""
    drivers = {bit: name for name in cells for bit in _bits(cells[name], "output")}
    readers: dict[Bit, set[str]] = defaultdict(set)
    for name in cells:
        for bit in _bits(cells[name], "input"):
            readers[bit].add(name)
    found: set[str] = set()
    known = _beginnings(cells, drivers, cell)
    for _ in range(stages):
        ends = _ends(cells, readers, known)
        found |= {name for name in ends if _is_register(cells[name])}
        known = {bit for name in ends for bit in _bits(cells[name], "output")}
    return found


def _beginnings(cells: Cells, drivers: Mapping[Bit, str], cell: str) -> set[Bit]:
    """Ports and outputs of registers, memories and instances that a cell sees in the same cycle."""
    found, waiting, seen = set(), _bits(cells[cell], "input"), set()
    while waiting:
        bit = waiting.pop()
        if bit in seen:
            continue
        seen.add(bit)
        driver = drivers.get(bit)
        if driver is None or _keeps(cells[driver]):
            found.add(bit)
        else:
            waiting += _bits(cells[driver], "input")
    return found


def _ends(cells: Cells, readers: Mapping[Bit, Collection[str]], bits: Iterable[Bit]) -> set[str]:
    """Registers and memories that take something in the cycle in which these bits are known."""
    found, waiting, seen = set(), [*bits], set()
    while waiting:
        bit = waiting.pop()
        for name in readers.get(bit, ()):
            if name in seen:
                continue
            seen.add(name)
            if _keeps(cells[name]):
                found.add(name)
            else:
                waiting += _bits(cells[name], "output")
    return {name for name in found if cells[name]["type"].startswith("$")}


def _bits(cell: Mapping[str, Any], direction: str) -> list[Bit]:
    directions = cell["port_directions"]
    return [
        bit
        for port, bits in cell["connections"].items()
        if directions[port] == direction
        for bit in bits
        if isinstance(bit, int)
    ]


def _is_register(cell: Mapping[str, Any]) -> bool:
    return cell["type"].startswith("$") and "Q" in cell["connections"]


def _keeps(cell: Mapping[str, Any]) -> bool:
    """Whether outputs do not follow inputs in the same cycle, or nobody knows: registers, memories, instances."""
    if cell["type"] == "$memrd_v2":
        return int(cell["parameters"]["CLK_ENABLE"], 2) == 1
    return _is_register(cell) or not cell["type"].startswith("$") or cell["type"].startswith("$mem")
