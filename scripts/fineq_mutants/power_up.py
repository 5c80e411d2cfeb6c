"""Circuits as silicon begins: registers, and memories that are written, hold anything."""

from __future__ import annotations

from fineq_mutants.netlist import Netlist


def leave_out_initial_values(netlist: Netlist) -> None:
    """As `fineq_hw.export.conversion.convert` does; a memory that is never written is a table and keeps its words."""
    cells = netlist.cells.items()
    memory = {name: cell["parameters"]["MEMID"] for name, cell in cells if "MEMID" in cell["parameters"]}
    written = {memory[name] for name in memory if netlist.cells[name]["type"].startswith("$memwr")}
    for name in memory:
        if netlist.cells[name]["type"].startswith("$meminit") and memory[name] in written:
            del netlist.cells[name]
    for entry in netlist.module["netnames"].values():
        entry["attributes"].pop("init", None)
