"""The kinds of fault: where a netlist has room for each, and how it is put in.

Every fault is a change behind a select: `hit` is high in the run that tries it, and in no other. So one circuit holds
as many as one likes, and with no hit it is the one that is delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fineq_mutants.netlist import Bit, Netlist, constant, value_of

CLOCK, RESET = "clk", "rst"
"""Ports of a clocked module."""


@dataclass(frozen=True)
class Site:
    """One fault in one module.

    Attributes:
        kind: a key of `KINDS`.
        cell: in the netlist.
        cell_type: Yosys' type of it, or the module of an instance.
        port: of the cell, or the name of its parameter.
        bit: of the port; -1: all of it.
        change: what becomes of it.
        source: `file.py:line`, several with `|` between them.
    """

    kind: str
    cell: str
    cell_type: str
    port: str
    bit: int
    change: str
    source: str = ""

    @property
    def text(self) -> str:
        """For reports."""
        place = self.port if self.bit < 0 else f"{self.port}[{self.bit}]"
        return f"{self.cell_type.lstrip('$')}.{place}: {self.change}"


_Find = Callable[[Netlist, str, dict[str, Any]], Iterator[tuple[str, int, str]]]
_Apply = Callable[[Netlist, Site, Bit], None]

_REGISTERS = ("$dff", "$dffe", "$sdff", "$sdffe", "$sdffce")
_WITH_ENABLE = ("$dffe", "$sdffe", "$sdffce")
_WITH_RESET = ("$sdff", "$sdffe")

_MANY_BITS = 64
"""Of wider ports not every bit is a site, and constants are no numbers."""

_OTHER = {
    "$add": "$sub",
    "$sub": "$add",
    "$and": "$or",
    "$or": "$and",
    "$xor": "$or",
    "$logic_and": "$logic_or",
    "$logic_or": "$logic_and",
    "$reduce_and": "$reduce_or",
    "$reduce_or": "$reduce_and",
    "$reduce_bool": "$reduce_and",
    "$reduce_xor": "$reduce_or",
    "$lt": "$le",
    "$le": "$lt",
    "$gt": "$ge",
    "$ge": "$gt",
    "$eq": "$ge",
    "$ne": "$lt",
    "$mul": "$add",
    "$shl": "$shr",
    "$shr": "$shl",
    "$neg": "$pos",
    "$not": "$pos",
}
"""Operators that are easily taken for one another; comparisons are off by one."""


def _inputs(cell: dict[str, Any]) -> Iterator[tuple[str, list[Bit]]]:
    for port, bits in cell["connections"].items():
        if cell["port_directions"][port] == "input":
            yield port, bits


def _is_net(netlist: Netlist, bit: Bit) -> bool:
    """Whether a bit can be another one: no constant, and not the clock."""
    return isinstance(bit, int) and bit not in netlist.port_bits(CLOCK)


def _is_reset(netlist: Netlist, bit: Bit) -> bool:
    return bit in netlist.port_bits(RESET)


def _find_stuck(value: int) -> _Find:
    def find(netlist: Netlist, name: str, cell: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
        for port, bits in cell["connections"].items():
            if cell["type"] in _REGISTERS and port in ("EN", "SRST"):
                continue  # kinds of their own
            for place in range(0, len(bits), max(1, len(bits) // _MANY_BITS)):
                if _is_net(netlist, bits[place]) and not _is_reset(netlist, bits[place]):
                    yield port, place, f"stuck at {value}"

    return find


def _find_inverted(netlist: Netlist, name: str, cell: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    for port, bits in _inputs(cell):
        control = len(bits) == 1 or port in ("EN", "WR_EN", "RD_EN")
        if control and cell["type"] != "$mux" and port != "SRST":
            for place, bit in enumerate(bits):
                if _is_net(netlist, bit) and not _is_reset(netlist, bit):
                    yield port, place, "inverted"


def _find_swapped(netlist: Netlist, name: str, cell: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    if cell["type"] == "$mux" and _is_net(netlist, cell["connections"]["S"][0]):
        yield "S", 0, "inputs swapped"


def _find_constant(netlist: Netlist, name: str, cell: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    for port, bits in _inputs(cell):
        if 1 < len(bits) <= _MANY_BITS and port not in ("EN", "SRST") and all(isinstance(bit, str) for bit in bits):
            value, wrap = value_of(bits), 1 << len(bits)
            for step in (1, -1):
                yield port, -1, f"{value} is {(value + step) % wrap}"


def _find_operator(netlist: Netlist, name: str, cell: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    other = _OTHER.get(cell["type"])
    if other is None:
        return
    operands = [bits for _, bits in _inputs(cell)]
    if cell["type"].startswith("$reduce") and len(operands[0]) == 1:
        return  # one bit: the same
    if all(isinstance(bit, str) for bits in operands for bit in bits):
        return
    yield "Y", -1, f"{cell['type'][1:]} is {other[1:]}"


def _find_enable(netlist: Netlist, name: str, cell: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    if cell["type"] in _WITH_ENABLE and _is_net(netlist, cell["connections"]["EN"][0]):
        yield "EN", 0, "stuck at 0"
        yield "EN", 0, "stuck at 1"


def _find_reset_lost(netlist: Netlist, name: str, cell: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    if cell["type"] in _WITH_RESET:
        yield "SRST", 0, "stuck at 0"


def _find_reset_value(netlist: Netlist, name: str, cell: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    if cell["type"] in _WITH_RESET:
        for place, bit in enumerate(reversed(cell["parameters"]["SRST_VALUE"])):
            yield "SRST_VALUE", place, f"{bit} is {'0' if bit == '1' else '1'}"


def _change_bit(netlist: Netlist, site: Site, hit: Bit, change: Callable[[Bit], Bit]) -> None:
    cell = netlist.cells[site.cell]
    if cell["port_directions"][site.port] == "output":
        # The whole port at once, so that vectors stay vectors in Verilog.
        now, waiting = netlist.take_over(site.cell, site.port)
        new = [*now]
        new[site.bit] = change(now[site.bit])
        netlist.drive(waiting, new)
    else:
        bits = [*cell["connections"][site.port]]
        bits[site.bit] = change(bits[site.bit])
        cell["connections"][site.port] = bits


def _apply_stuck(netlist: Netlist, site: Site, hit: Bit) -> None:
    value = site.change[-1]
    _change_bit(netlist, site, hit, lambda bit: netlist.mux([bit], [value], hit)[0])


def _apply_inverted(netlist: Netlist, site: Site, hit: Bit) -> None:
    _change_bit(netlist, site, hit, lambda bit: netlist.gate("$xor", bit, hit))


def _apply_constant(netlist: Netlist, site: Site, hit: Bit) -> None:
    connections = netlist.cells[site.cell]["connections"]
    bits = connections[site.port]
    wrong = constant(int(site.change.split()[-1]), len(bits))
    connections[site.port] = netlist.mux(bits, wrong, hit)


def _apply_operator(netlist: Netlist, site: Site, hit: Bit) -> None:
    now, waiting = netlist.take_over(site.cell, "Y")
    cell = netlist.cells[site.cell]
    other = netlist.fresh(len(now))
    inputs = {port: bits for port, bits in cell["connections"].items() if port != "Y"}
    parameters = {key: int(value, 2) for key, value in cell["parameters"].items()}
    netlist.add_cell(_OTHER[cell["type"]], parameters, inputs, {"Y": other})
    netlist.drive(waiting, netlist.mux(now, other, hit))


def _apply_reset_value(netlist: Netlist, site: Site, hit: Bit) -> None:
    """In a hit the reset becomes data, with another value; it comes before the enable."""
    cell = netlist.cells[site.cell]
    connections, parameters = cell["connections"], cell["parameters"]
    reset = connections["SRST"][0]
    if not int(parameters["SRST_POLARITY"], 2):
        raise ValueError(f"register {site.cell} has a reset that is active low")
    now = netlist.gate("$and", reset, hit)
    value = value_of([*reversed(parameters["SRST_VALUE"])]) ^ 1 << site.bit
    connections["D"] = netlist.mux(connections["D"], constant(value, len(connections["D"])), now)
    connections["SRST"] = [netlist.gate("$and", reset, netlist.gate("$not", hit))]
    if "EN" in connections:
        kind, condition = ("$or", now) if int(parameters["EN_POLARITY"], 2) else ("$and", netlist.gate("$not", now))
        connections["EN"] = [netlist.gate(kind, connections["EN"][0], condition)]


@dataclass(frozen=True)
class Kind:
    """A kind of fault: where it fits, how it is made, and what it stands for in a report."""

    find: _Find
    apply: _Apply
    meaning: str


KINDS: dict[str, Kind] = {
    "stuck-0": Kind(_find_stuck(0), _apply_stuck, "a bit of an operand, of a result or of an instance's port is 0"),
    "stuck-1": Kind(_find_stuck(1), _apply_stuck, "the same, 1"),
    "inverted": Kind(_find_inverted, _apply_inverted, "a single bit that goes into a cell or an instance is inverted"),
    "swapped": Kind(_find_swapped, _apply_inverted, "the inputs of a multiplexer are swapped"),
    "constant": Kind(_find_constant, _apply_constant, "a constant is one more or one less"),
    "operator": Kind(_find_operator, _apply_operator, "another operator: + and -, and and or, < and <="),
    "enable": Kind(_find_enable, _apply_stuck, "the enable of a register is stuck"),
    "reset-lost": Kind(_find_reset_lost, _apply_stuck, "a register is not reset"),
    "reset-value": Kind(_find_reset_value, _apply_reset_value, "a bit of a register's reset value is another"),
}


def sites(netlist: Netlist) -> list[Site]:
    """All faults that a module has room for, in the order of its cells."""
    found = []
    for name, cell in netlist.cells.items():
        source = cell["attributes"].get("src", "")
        for kind, rule in KINDS.items():
            found += [
                Site(kind, name, cell["type"], port, bit, change, source)
                for port, bit, change in rule.find(netlist, name, cell)
            ]
    return found


def plant(netlist: Netlist, site: Site, hit: Bit) -> None:
    """Put one fault in, which is there while `hit` is high."""
    KINDS[site.kind].apply(netlist, site, hit)
