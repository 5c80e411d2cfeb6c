"""Netlists without hierarchy: nets numbered through, cells as arrays or one by one with their paths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import Cell, Library
from fineq_asic.netlist.netlist import Instance, Module, Netlist
from fineq_asic.netlist.verilog import instance_names

NO_NET = -1
"""Net number of a pin that is not connected."""


@dataclass
class CellGroup:
    """All cells of one kind in a flat netlist.

    Attributes:
        cell: the library cell.
        nets: net numbers by pin, int32 [instances]; `NO_NET` where a pin is open.
        blocks: index into `FlatNetlist.blocks` for each instance, int32 [instances].
    """

    cell: Cell
    nets: dict[str, np.ndarray]
    blocks: np.ndarray

    def __len__(self) -> int:
        return len(self.blocks)


@dataclass
class FlatNetlist:
    """The whole design without hierarchy, as arrays.

    Attributes:
        nets: number of nets.
        ports: net numbers of the top's ports, int32 [width], with the direction.
        groups: cells by kind.
        blocks: names of the blocks that cells are attributed to.
    """

    nets: int
    ports: dict[str, tuple[str, np.ndarray]]
    groups: dict[str, CellGroup]
    blocks: list[str]

    def block_area(self) -> dict[str, float]:
        """Cell area in um^2 by block."""
        total = np.zeros(len(self.blocks))
        for _, group in sorted(self.groups.items()):
            total += np.bincount(group.blocks, minlength=len(self.blocks)) * group.cell.area
        return dict(zip(self.blocks, total.tolist(), strict=True))


def flatten(netlist: Netlist, library: Library, block_of: dict[tuple[str, str], str] | None = None) -> FlatNetlist:
    """Flatten the hierarchy.

    Args:
        netlist: a mapped netlist.
        library: its cell library.
        block_of: block by (module name, instance name); cells not in it belong to the block `other`.
    """
    netlist.check_mapped(library)
    block_of = block_of or {}
    blocks = sorted(set(block_of.values()) | {"other"})
    index = {name: number for number, name in enumerate(blocks)}
    module_blocks = {
        name: {
            kind: np.array([index[block_of.get((name, cell.name), "other")] for cell in cells], dtype=np.int32)
            for kind, cells in _cells_by_kind(netlist.modules[name], netlist).items()
        }
        for name in netlist.bottom_up
    }
    nets: dict[str, list[np.ndarray]] = {}
    cell_blocks: dict[str, list[np.ndarray]] = {}
    top, count = None, 0
    for copy in _copies(netlist, library):
        top = top or copy.module
        count = max(count, int(copy.nets.max()) + 1)
        for kind, pins in copy.module.cells.items():
            nets.setdefault(kind, []).append(copy.nets[pins])
            cell_blocks.setdefault(kind, []).append(module_blocks[copy.module.name][kind])
    assert top is not None  # the first copy is the top
    groups = {}
    for kind in sorted(nets):
        columns = np.concatenate(nets[kind]).T
        pin_nets = {
            pin: np.ascontiguousarray(column) for pin, column in zip(library.cell(kind).pins, columns, strict=True)
        }
        groups[kind] = CellGroup(library.cell(kind), pin_nets, np.concatenate(cell_blocks[kind]))
    ports = {
        name: (port.direction, np.array([top.number[bit] for bit in port.bits], dtype=np.int32))
        for name, port in netlist.modules[netlist.top].ports.items()
    }
    return FlatNetlist(count, ports, groups, blocks)


NamedCell = tuple[tuple[str, ...], str, dict[str, int]]
"""Instance path, kind, and net number by pin."""


def named_cells(netlist: Netlist, library: Library) -> Iterator[NamedCell]:
    """Every cell of the design with its instance path, as written by `write_verilog`, its kind and its nets.

    Net numbers are those of `flatten`; open pins are left out.
    """
    for copy in _copies(netlist, library):
        module = netlist.modules[copy.module.name]
        for instance, name in zip(module.instances, instance_names(module), strict=True):
            if instance.kind not in netlist.modules:
                connected = {pin: bits[0] for pin, bits in instance.pins.items() if isinstance(bits[0], int)}
                nets = {pin: int(copy.nets[copy.module.number[bit]]) for pin, bit in connected.items()}
                yield (*copy.path, name), instance.kind, nets


def named_instances(netlist: Netlist) -> Iterator[tuple[tuple[str, ...], str]]:
    """Instance path, as written by `write_verilog`, and kind of every module and cell below the top, parents first."""

    def walk(name: str, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
        module = netlist.modules[name]
        for instance, instance_name in zip(module.instances, instance_names(module), strict=True):
            yield (*path, instance_name), instance.kind
            if instance.kind in netlist.modules:
                yield from walk(instance.kind, (*path, instance_name))

    yield from walk(netlist.top, ())


@dataclass(frozen=True)
class _ModuleCopy:
    """A copy of a module in the flat design.

    Attributes:
        module: which.
        path: instance names from the top to it.
        nets: flat net of every net of the module, int32; the last entry is that of `NO_NET`, so that an open pin,
            which has the number -1 in the module, is open in the flat design.
    """

    module: _NumberedModule
    path: tuple[str, ...]
    nets: np.ndarray


def _copies(netlist: Netlist, library: Library) -> Iterator[_ModuleCopy]:
    """Every copy of every module, a parent before its children: nets get their numbers in this order.

    The nets at the ports of a copy are its parent's; the others are new.
    """
    modules = {name: _NumberedModule(netlist.modules[name], netlist, library) for name in netlist.bottom_up}
    top = modules[netlist.top]
    count = top.port_nets
    waiting = [_ModuleCopy(top, (), np.arange(count, dtype=np.int32))]
    while waiting:
        found = waiting.pop()
        inner = np.arange(count, count + found.module.inner_nets, dtype=np.int32)
        count += len(inner)
        nets = np.concatenate([found.nets, inner, np.array([NO_NET], dtype=np.int32)])
        yield _ModuleCopy(found.module, found.path, nets)
        for kind, name, outer in reversed(found.module.children):
            waiting.append(_ModuleCopy(modules[kind], (*found.path, name), nets[outer]))


class _NumberedModule:
    """A module whose nets are numbered from 0, those of its ports first.

    Attributes:
        number: number of every net, by its number in the netlist.
        port_nets, inner_nets: how many nets it has at its ports, and inside.
        cells: nets of the cells by kind, int32 [instances, pins of the library cell]; `NO_NET` where a pin is open.
        children: kind and name of every module instance, and the nets at its ports.
    """

    def __init__(self, module: Module, netlist: Netlist, library: Library) -> None:
        self.name = module.name
        port_bits = dict.fromkeys(bit for port in module.ports.values() for bit in port.bits)
        self.number: dict[int, int] = {bit: index for index, bit in enumerate(port_bits)}
        self.port_nets = len(self.number)
        rows: dict[str, list[list[int]]] = {}
        children: list[tuple[str, str, list[int]]] = []
        for instance, name in zip(module.instances, instance_names(module), strict=True):
            child = netlist.modules.get(instance.kind)
            if child is not None:
                children.append((child.name, name, self._nets_at_ports(instance, child)))
            else:
                pins = library.cell(instance.kind).pins
                bits = [instance.pins[pin][0] if pin in instance.pins else None for pin in pins]
                rows.setdefault(instance.kind, []).append([self._net(bit) for bit in bits])
        self.cells = {kind: np.array(nets, dtype=np.int32) for kind, nets in rows.items()}
        total = len(self.number)
        self.children: list[tuple[str, str, np.ndarray]] = []
        for kind, name, nets in children:
            for place, net in enumerate(nets):
                if net == NO_NET:  # an open output of a child still has a net inside it
                    nets[place], total = total, total + 1
            self.children.append((kind, name, np.array(nets, dtype=np.int32)))
        self.inner_nets = total - self.port_nets

    def _net(self, bit: int | str | None) -> int:
        """Number of a net, a new one at its first use; open pins and constants have none."""
        return self.number.setdefault(bit, len(self.number)) if isinstance(bit, int) else NO_NET

    def _nets_at_ports(self, instance: Instance, child: Module) -> list[int]:
        """Net outside for every net that the child has at its ports; of two ports with one net, the first connected."""
        found: dict[int, int] = {}
        for name, port in child.ports.items():
            outer = instance.pins.get(name, [])
            for index, bit in enumerate(port.bits):
                if found.get(bit, NO_NET) == NO_NET:
                    found[bit] = self._net(outer[index]) if index < len(outer) else NO_NET
        return list(found.values())


def _cells_by_kind(module: Module, netlist: Netlist) -> dict[str, list[Instance]]:
    """Library cells of a module by kind, in the order of `_NumberedModule.cells`."""
    found: dict[str, list[Instance]] = {}
    for instance in module.instances:
        if instance.kind not in netlist.modules:
            found.setdefault(instance.kind, []).append(instance)
    return found


_MAX_LEVELS = 5000


def logic_levels(flat: FlatNetlist) -> np.ndarray:
    """Logic depth of every net, int32 [nets]: 0 for ports, registers and clock-gate outputs.

    Raises:
        SynthesisError: the logic has a loop.
    """
    level = np.zeros(flat.nets + 1, dtype=np.int32)  # the last entry stands for open pins
    logic = [g for g in flat.groups.values() if g.cell.register is None and not g.cell.clock_gate and g.cell.inputs]
    for _ in range(_MAX_LEVELS):
        changed = False
        for group in logic:
            reached = np.max([level[group.nets[pin.name]] for pin in group.cell.inputs], axis=0) + 1
            for pin in group.cell.outputs:
                nets = group.nets[pin.name]
                if (used := reached > level[nets]).any() and (deeper := used & (nets != NO_NET)).any():
                    level[nets[deeper]] = reached[deeper]
                    changed = True
        if not changed:
            return level[:-1]
    raise SynthesisError("the netlist has a combinational loop")
