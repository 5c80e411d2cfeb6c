"""A mapped, hierarchical netlist: checked against the library, written as Verilog, flattened to arrays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import Cell, Library

NO_NET = -1
"""Net number of a pin that is not connected."""


@dataclass
class Port:
    """A module port; `bits` are net numbers, least significant first."""

    direction: str
    bits: list[int]


@dataclass
class Instance:
    """A cell or module instance; `pins` maps a pin name to net numbers, least significant first.

    `inserted`: a buffer that was added for the load (`netlist.fanout`), not part of the circuit.
    """

    name: str
    kind: str
    pins: dict[str, list[int]]
    inserted: bool = False


@dataclass
class Module:
    """One module; `net_names` names the nets that have a name in the RTL, `aliases` all such names, with `<bit>`.

    `stands_for_load`: nothing but loads, in the place of a module that was left out (`timing.thin`).
    """

    name: str
    ports: dict[str, Port]
    instances: list[Instance]
    net_names: dict[int, str] = field(default_factory=dict)
    aliases: dict[str, int | str] = field(default_factory=dict)
    stands_for_load: bool = False

    def new_net(self) -> int:
        """A net number that is not in use yet."""
        if not hasattr(self, "_next_net"):
            used = [bit for port in self.ports.values() for bit in port.bits]
            used += [bit for instance in self.instances for bits in instance.pins.values() for bit in bits]
            self._next_net = max((bit for bit in used if isinstance(bit, int)), default=0)
        self._next_net += 1
        return self._next_net


@dataclass
class Netlist:
    """A top module and the modules under it."""

    top: str
    modules: dict[str, Module]

    @cached_property
    def multiplicity(self) -> dict[str, int]:
        """How often each module occurs in the whole design; children come after their parents."""
        counts: Counter[str] = Counter({self.top: 1})
        for name in reversed(self.bottom_up):
            for instance in self.modules[name].instances:
                if instance.kind in self.modules:
                    counts[instance.kind] += counts[name]
        return dict(counts)

    @cached_property
    def bottom_up(self) -> list[str]:
        """Module names, every module after the modules it instantiates."""
        order: list[str] = []
        done: set[str] = set()

        def visit(name: str) -> None:
            if name in done:
                return
            done.add(name)
            for kind in sorted({instance.kind for instance in self.modules[name].instances} & self.modules.keys()):
                visit(kind)
            order.append(name)

        visit(self.top)
        return order

    def cell_counts(self) -> Counter[str]:
        """Number of cells of each kind in the whole design."""
        counts: Counter[str] = Counter()
        for name, times in self.multiplicity.items():
            for instance in self.modules[name].instances:
                if instance.kind not in self.modules:
                    counts[instance.kind] += times
        return counts

    def area(self, library: Library) -> float:
        """Cell area of the whole design in um^2."""
        return sum(library.cell(kind).area * count for kind, count in sorted(self.cell_counts().items()))

    def check_mapped(self, library: Library) -> None:
        """Every cell must be in the library.

        Raises:
            SynthesisError: names the kinds of cells that are not, how many, and a module that holds one.
        """
        unmapped = {kind: count for kind, count in sorted(self.cell_counts().items()) if kind not in library.cells}
        if not unmapped:
            return
        first = next(iter(unmapped))
        where = next(n for n in self.bottom_up if any(i.kind == first for i in self.modules[n].instances))
        text = ", ".join(f"{kind} ({count})" for kind, count in unmapped.items())
        raise SynthesisError(f"the netlist of {self.top} has cells that are not in the library: {text}, as in {where}")


def _escape(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f"\\{name} "


def write_verilog(netlist: Netlist, path: Path) -> None:
    """Write the netlist as structural Verilog, children before parents; the same netlist gives the same bytes."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for name in netlist.bottom_up:
            file.writelines(_module_lines(netlist.modules[name]))


def _module_lines(module: Module) -> Iterator[str]:
    names: dict[int, str] = {}
    assigns = []
    for port_name, port in module.ports.items():
        for index, bit in enumerate(port.bits):
            name = f"{_escape(port_name)}[{index}]" if len(port.bits) > 1 else _escape(port_name)
            if bit in names:
                assigns.append(f"  assign {name} = {names[bit]};\n")
            else:
                names[bit] = name
    internal = sorted({b for i in module.instances for bits in i.pins.values() for b in bits if isinstance(b, int)})
    internal = [bit for bit in internal if bit not in names]
    names.update({bit: f"n{bit}" for bit in internal})
    yield f"module {_escape(module.name)} ({', '.join(_escape(port) for port in module.ports)});\n"
    for port_name, port in module.ports.items():
        width = f"[{len(port.bits) - 1}:0] " if len(port.bits) > 1 else ""
        yield f"  {port.direction} {width}{_escape(port_name)};\n"
    for bit in internal:
        yield f"  wire n{bit};\n"
    yield from assigns
    instance_names = _instance_names(module)
    for number, instance in enumerate(module.instances):
        pins = []
        for pin, bits in instance.pins.items():
            wires = [names[bit] if isinstance(bit, int) else f"1'b{bit}" for bit in reversed(bits)]
            pins.append(f".{_escape(pin)}({wires[0] if len(wires) == 1 else '{' + ', '.join(wires) + '}'})")
        yield f"  {_escape(instance.kind)} {instance_names[number]} ({', '.join(pins)});\n"
    yield "endmodule\n\n"


def _instance_names(module: Module) -> list[str]:
    """Plain unique names: the RTL's where there is one, the register's for a flip-flop, else a number."""
    names: list[str] = []
    used: set[str] = set()
    for number, instance in enumerate(module.instances):
        name = instance.name
        if "$" in name:
            state = [module.net_names.get(instance.pins[pin][0], "$") for pin in ("Q", "QN") if pin in instance.pins]
            name = next((text + "_reg" for text in state if "$" not in text), "")
        name = re.sub(r"\W+", "_", name).strip("_")
        if not re.match(r"[A-Za-z]", name) or name in used:
            name = f"u{number}"
        used.add(name)
        names.append(name)
    return names


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
    block_index = {name: index for index, name in enumerate(blocks)}
    local: dict[str, _Local] = {
        name: _Local(netlist.modules[name], netlist, library, block_of, block_index) for name in netlist.bottom_up
    }
    counter = 0
    collected: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}

    def place(name: str, port_nets: np.ndarray) -> None:
        nonlocal counter
        module = local[name]
        mapping = np.empty(module.nets, dtype=np.int32)
        mapping[module.port_nets] = port_nets
        inner = module.inner_nets
        mapping[inner] = np.arange(counter, counter + len(inner), dtype=np.int32)
        counter += len(inner)
        mapping = np.append(mapping, np.int32(NO_NET))
        for kind, (pins, cell_blocks) in module.cells.items():
            collected.setdefault(kind, []).append((mapping[pins], cell_blocks))
        for child, child_nets in module.children:
            place(child, mapping[child_nets])

    top = local[netlist.top]
    counter = len(top.port_nets)
    place(netlist.top, np.arange(counter, dtype=np.int32))
    groups = {}
    for kind, parts in sorted(collected.items()):
        pins = np.concatenate([part[0] for part in parts])
        names = list(library.cell(kind).pins)
        groups[kind] = CellGroup(
            library.cell(kind),
            {name: np.ascontiguousarray(pins[:, column]) for column, name in enumerate(names)},
            np.concatenate([part[1] for part in parts]),
        )
    number = {bit: index for index, bit in enumerate(top.port_bits)}
    ports = {
        name: (port.direction, np.array([number[bit] for bit in port.bits], dtype=np.int32))
        for name, port in netlist.modules[netlist.top].ports.items()
    }
    return FlatNetlist(counter, ports, groups, blocks)


def instance_paths(netlist: Netlist) -> Iterator[tuple[tuple[str, ...], str]]:
    """Instance path, as written by `write_verilog`, and kind of every cell."""

    def walk(name: str, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
        module = netlist.modules[name]
        for instance, instance_name in zip(module.instances, _instance_names(module), strict=True):
            if instance.kind in netlist.modules:
                yield from walk(instance.kind, (*path, instance_name))
            else:
                yield (*path, instance_name), instance.kind

    yield from walk(netlist.top, ())


NamedCell = tuple[tuple[str, ...], dict[str, int]]
"""Instance path and net number by pin."""


def named_cells(netlist: Netlist, library: Library) -> Iterator[NamedCell]:
    """Every cell of the design with its instance path, as written by `write_verilog`, and its nets.

    Net numbers are those of `flatten`; open pins are left out.
    """
    local = {name: _Local(netlist.modules[name], netlist, library, {}, {"other": 0}) for name in netlist.bottom_up}
    counter = len(local[netlist.top].port_nets)

    def place(name: str, path: tuple[str, ...], port_nets: np.ndarray) -> Iterator[NamedCell]:
        nonlocal counter
        module = local[name]
        mapping = np.empty(module.nets, dtype=np.int64)
        mapping[module.port_nets] = port_nets
        mapping[module.inner_nets] = np.arange(counter, counter + len(module.inner_nets))
        counter += len(module.inner_nets)
        children = iter(module.children)
        waiting = []
        names = _instance_names(netlist.modules[name])
        for instance, instance_name in zip(netlist.modules[name].instances, names, strict=True):
            if instance.kind in netlist.modules:
                kind, nets = next(children)
                waiting.append((kind, (*path, instance_name), mapping[nets]))
                continue
            pins = {pin: bits[0] for pin, bits in instance.pins.items() if isinstance(bits[0], int)}
            yield (*path, instance_name), {pin: int(mapping[module.number[bit]]) for pin, bit in pins.items()}
        for child in waiting:
            yield from place(*child)

    yield from place(netlist.top, (), np.arange(counter))


class _Local:
    """A module with its nets renumbered from 0 and its cells as arrays [instances, pins]."""

    def __init__(
        self,
        module: Module,
        netlist: Netlist,
        library: Library,
        block_of: dict[tuple[str, str], str],
        block_index: dict[str, int],
    ) -> None:
        self.port_bits: list[int] = list(dict.fromkeys(bit for port in module.ports.values() for bit in port.bits))
        number = {bit: index for index, bit in enumerate(self.port_bits)}
        self.port_nets = np.arange(len(self.port_bits), dtype=np.int32)

        def net(bit: int | str) -> int:
            if not isinstance(bit, int):
                return NO_NET
            return number.setdefault(bit, len(number))

        rows: dict[str, list[list[int]]] = {}
        row_blocks: dict[str, list[int]] = {}
        self.children: list[tuple[str, np.ndarray]] = []
        for instance in module.instances:
            if instance.kind in netlist.modules:
                child = netlist.modules[instance.kind]
                seen: dict[int, int] = {}
                for port_name, port in child.ports.items():
                    outer = instance.pins.get(port_name, [])
                    for index, bit in enumerate(port.bits):
                        if bit not in seen or seen[bit] == NO_NET:
                            seen[bit] = net(outer[index]) if index < len(outer) else NO_NET
                self.children.append((instance.kind, [seen[bit] for bit in dict.fromkeys(seen)]))
                continue
            pins = library.cell(instance.kind).pins
            row = [net(instance.pins[pin][0]) if pin in instance.pins else NO_NET for pin in pins]
            rows.setdefault(instance.kind, []).append(row)
            block = block_of.get((module.name, instance.name), "other")
            row_blocks.setdefault(instance.kind, []).append(block_index[block])
        # an open output of a child still has a net inside it
        for position, (kind, nets) in enumerate(self.children):
            filled = [
                number.setdefault(("open", position, index), len(number)) if outer == NO_NET else outer
                for index, outer in enumerate(nets)
            ]
            self.children[position] = (kind, np.array(filled, dtype=np.int32))
        self.nets = len(number)
        self.inner_nets = np.arange(len(self.port_bits), self.nets, dtype=np.int32)
        self.number = number
        self.cells = {
            kind: (np.array(pins, dtype=np.int32), np.array(row_blocks[kind], dtype=np.int32))
            for kind, pins in rows.items()
        }


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
