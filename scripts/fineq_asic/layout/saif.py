"""Switching activity of a block as SAIF, from a gate-level run of the core that it belongs to."""

from __future__ import annotations

from pathlib import Path

from fineq_asic.activity.switching import Activity
from fineq_asic.errors import SynthesisError
from fineq_asic.layout.block import Block, flat_name
from fineq_asic.library.liberty import Library
from fineq_asic.netlist.flat import named_cells
from fineq_asic.netlist.netlist import Netlist
from fineq_asic.netlist.parts import nets_in_whole


def nets_in_core(block: Block, core: Netlist, library: Library) -> dict[int, int]:
    """Net of the flat core (`netlist.flatten`) for every net of the block that a cell touches.

    Args:
        block: the core, or a module of it; of several copies the first counts.
        core: mapped netlist.
        library: its cells.

    Raises:
        SynthesisError: the core has not the cells of the block.
    """
    part = named_cells(Netlist(block.top, core.modules), library) if block.top in core.modules else ()
    if {flat_name(path) for path, _, _ in part} != {cell.name for cell in block.cells}:
        raise SynthesisError(f"{block.top} is not a module of {core.top}: its cells differ")
    return nets_in_whole(block.top, core, library)


def write_block_saif(block: Block, nets: dict[int, int], activity: Activity, clock_ns: float, path: Path) -> None:
    """Write the activity of all ports but the clock, and of all cell pins.

    Args:
        block: what is laid out.
        nets: net of the core for every net of the block.
        activity: of the core.
        clock_ns: clock period; times are in ps.
        path: file to write.
    """
    duration = round(activity.cycles * clock_ns * 1000)

    def entry(name: str, net: int) -> str:
        high = round(float(activity.high[nets[net]]) * duration)
        count = round(float(activity.toggles[nets[net]]) * activity.cycles)
        return f"({name} (T0 {duration - high}) (T1 {high}) (TX 0) (TC {count}) (IG 0))\n"

    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('(SAIFILE\n(SAIFVERSION "2.0")\n(DIRECTION "backward")\n(DIVIDER / )\n(TIMESCALE 1 ps)\n')
        file.write(f"(DURATION {duration})\n(INSTANCE {block.top}\n(NET\n")
        for port, (_, bits) in block.ports.items():
            for index, net in enumerate(bits):
                if port != block.clock and net in nets:
                    file.write(entry(f"{port}\\[{index}\\]" if len(bits) > 1 else port, net))
        file.write(")\n")
        for cell in block.cells:
            file.write(f"(INSTANCE {cell.name}\n(NET\n")
            file.writelines(entry(pin, net) for pin, net in cell.pins.items())
            file.write("))\n")
        file.write("))\n")
