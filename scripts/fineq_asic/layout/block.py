"""What is laid out: a mapped netlist, or one module of it, flattened to one level with plain names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import Library
from fineq_asic.library.recognition import enable_pin
from fineq_asic.netlist.flat import flatten, named_cells
from fineq_asic.netlist.netlist import Netlist

SEPARATOR = "__"
"""Between the instance names of a path in a flat name."""


@dataclass(frozen=True)
class FlatCell:
    """A cell of the flat netlist; `pins` maps a pin to its net number, open pins are left out."""

    name: str
    kind: str
    pins: dict[str, int]


@dataclass(frozen=True)
class Block:
    """A flat netlist for layout.

    Attributes:
        top: name of the module.
        ports: direction and net numbers, least significant first, by port.
        cells: all cells.
        clock: name of the clock port, or None where no cell is clocked.
        latches: how many of the cells are latches.
        gate_enables: enable pins of the clock gates, as `cell/pin`.
    """

    top: str
    ports: dict[str, tuple[str, tuple[int, ...]]]
    cells: tuple[FlatCell, ...]
    clock: str | None
    latches: int = 0
    gate_enables: tuple[str, ...] = ()

    def area(self, library: Library) -> float:
        """Cell area in um^2."""
        return sum(library.cell(cell.kind).area for cell in self.cells)

    @property
    def pin_count(self) -> int:
        """Port bits: pins on the border of the layout."""
        return sum(len(bits) for _, bits in self.ports.values())


def flat_name(path: Iterable[str]) -> str:
    """Flat instance name of an instance path."""
    return SEPARATOR.join(path)


def make_block(netlist: Netlist, library: Library, module: str | None = None, clock: str = "clk") -> Block:
    """Flatten a netlist, or the part of it below one of its modules.

    Args:
        netlist: mapped netlist.
        library: its cells.
        module: the module to lay out; default the top.
        clock: name of clock ports.

    Raises:
        SynthesisError: there is no such module, or two paths give the same flat name.
    """
    top = netlist.top if module is None else module
    if top not in netlist.modules:
        raise SynthesisError(f"{netlist.top} has no module {top}: its modules are {', '.join(netlist.modules)}")
    part = Netlist(top, netlist.modules)
    cells = [FlatCell(flat_name(path), kind, pins) for path, kind, pins in named_cells(part, library)]
    names = [cell.name for cell in cells]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SynthesisError(f"two instances of {top} have the flat name {twice}: rename one of them in the RTL")
    ports = {name: (way, tuple(map(int, nets))) for name, (way, nets) in flatten(part, library).ports.items()}
    clocked = clock in ports and any(ports[clock][1][0] in cell.pins.values() for cell in cells)
    registers = [library.cell(cell.kind).register for cell in cells]
    return Block(
        top,
        ports,
        tuple(cells),
        clock if clocked else None,
        latches=sum(register is not None and register.kind == "latch" for register in registers),
        gate_enables=tuple(
            f"{cell.name}/{enable_pin(library.cell(cell.kind))}" for cell in cells if library.cell(cell.kind).clock_gate
        ),
    )


def write_flat_verilog(block: Block, path: Path) -> None:
    """Write the block as one module of structural Verilog; the same block gives the same bytes."""
    names: dict[int, str] = {}
    assigns = []
    for port, (_, bits) in block.ports.items():
        for index, bit in enumerate(bits):
            name = f"{port}[{index}]" if len(bits) > 1 else port
            if bit in names:
                assigns.append(f"  assign {name} = {names[bit]};\n")
            names.setdefault(bit, name)
    nets = np.unique([bit for cell in block.cells for bit in cell.pins.values()])
    inner = [int(bit) for bit in nets if int(bit) not in names]
    names.update({bit: f"n{bit}" for bit in inner})
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"module {block.top} ({', '.join(block.ports)});\n")
        for port, (direction, bits) in block.ports.items():
            width = f"[{len(bits) - 1}:0] " if len(bits) > 1 else ""
            file.write(f"  {direction} {width}{port};\n")
        file.writelines(f"  wire n{bit};\n" for bit in inner)
        file.writelines(assigns)
        for cell in block.cells:
            pins = ", ".join(f".{pin}({names[net]})" for pin, net in cell.pins.items())
            file.write(f"  {cell.kind} {cell.name} ({pins});\n")
        file.write("endmodule\n")
