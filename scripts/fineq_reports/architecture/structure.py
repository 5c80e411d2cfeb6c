"""Which block feeds which: read from the Verilog of a top module.

Yosys resolves the wires, so a connection drawn from this is one that exists in the circuit.
"""

from __future__ import annotations

import gc
import json
import tempfile
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from amaranth.hdl import Fragment, UnusedElaboratable
from amaranth.lib import stream, wiring

from fineq_asic.mapping.yosys import run_yosys
from fineq_hw.export.conversion import Converted
from fineq_hw.export.manifest import Manifest
from fineq_hw.lib.hierarchy import Placed, collecting, flat_ports

OUTSIDE = ""
"""Stands for the ports of the top module itself, in the place of an instance."""


@dataclass(frozen=True, order=True)
class Connection:
    """Wires from one block to another.

    Attributes:
        source: instance that drives, or `OUTSIDE`.
        port: its port; all ports of a stream together, by the stream's name.
        sink: instance that listens, or `OUTSIDE`.
        bits: wires from source to sink.
        stream: the wires have a handshake.
        title: of a stream: its name at the end that has but one of the kind, where the other end numbers them.
    """

    source: str
    port: str
    sink: str
    bits: int
    stream: bool
    title: str


@dataclass(frozen=True)
class Structure:
    """Instances of a top module (instance name: module name) and the wires between them."""

    top: str
    instances: Mapping[str, str]
    connections: tuple[Connection, ...]


@dataclass(frozen=True)
class _Group:
    """What a port belongs to: a stream or a bus by its name, or nothing but itself.

    Attributes:
        name: of the group.
        stream: it has a handshake.
        back: the port runs against the stream: it is its `ready`.
    """

    name: str
    stream: bool = False
    back: bool = False


def _groups(component: wiring.Component, buses: Mapping[str, Collection[str]]) -> dict[str, _Group]:
    """The group of each port of a component, by the port's name in Verilog, as its signature declares them."""
    found = {}
    ports = zip(flat_ports(component), component.signature.flatten(component), strict=True)
    for (port, _, _), (path, _, _) in ports:
        member = component.signature.members[path[0]]
        if member.is_signature and isinstance(member.signature, stream.Signature):
            found[port] = _Group(str(path[0]), True, path[-1] == "ready")
        else:
            found[port] = _Group(next((bus for bus, names in buses.items() if port in names), str(path[0])))
    return found


def _all_groups(component: wiring.Component, buses: Mapping[str, Collection[str]]) -> dict[str, dict[str, _Group]]:
    """`_groups` of a component, as `OUTSIDE`, and of all that it places, by instance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)  # what is placed is only looked at
        with collecting(Placed()) as placed:
            Fragment.get(component, None)
        found = {name: _groups(placed.modules[module], buses) for name, module in placed.instances.items()}
        del placed
        gc.collect()
    return found | {OUTSIDE: _groups(component, buses)}


def _netlist(files: Mapping[str, str], manifest: Manifest, top: str) -> dict:
    """Yosys' JSON of the top module; the modules that it holds are read for their ports only."""
    files = {name: files[name] for name in {top, *manifest.entry(top).children.values()}}
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        for name, text in files.items():
            (work / f"{name}.v").write_text(text, encoding="utf-8")
        others = [f"read_verilog -lib {name}.v" for name in sorted(files) if name != top]
        commands = [
            *others,
            f"read_verilog {top}.v",
            f"hierarchy -top {top}",
            "proc",
            "opt_clean",
            "write_json out.json",
        ]
        run_yosys(commands, work)
        return json.loads((work / "out.json").read_text(encoding="utf-8"))["modules"][top]


def read_structure(
    converted: Converted,
    component: wiring.Component,
    top: str,
    buses: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Structure:
    """Take the blocks of a module and their connections from its Verilog, one level of hierarchy.

    Args:
        converted: as `fineq_hw.export.conversion.convert` returns it.
        component: the module's.
        top: the module to look into.
        buses: names of ports that are one bus, by the bus; streams are known from the signatures.

    Raises:
        SynthesisError: Yosys is missing or cannot read the Verilog.
        ValueError: no such module.
    """
    modules, manifest = converted
    if top not in modules:
        raise ValueError(f"there is no module {top!r}: choose one of {', '.join(sorted(modules))}")
    netlist = _netlist(modules, manifest, top)
    cells = {name.lstrip("\\"): cell for name, cell in netlist["cells"].items()}
    groups = _all_groups(component, buses)

    drivers: dict[int, tuple[str, _Group]] = {}
    listeners: dict[int, list[tuple[str, _Group]]] = {}

    def note(name: str, port: str, bits: Iterable[object], drives: bool) -> None:
        if port not in groups[name]:
            return  # clock and reset, which no signature has
        for bit in bits:
            if isinstance(bit, int):  # constants are strings
                if drives:
                    drivers[bit] = name, groups[name][port]
                else:
                    listeners.setdefault(bit, []).append((name, groups[name][port]))

    for port, content in netlist["ports"].items():
        note(OUTSIDE, port, content["bits"], content["direction"] == "input")
    for name in manifest.entry(top).children:
        for port, bits in cells[name]["connections"].items():
            note(name, port, bits, cells[name]["port_directions"][port] == "output")

    found: dict[tuple[str, str, str], list[tuple[_Group, _Group]]] = {}
    for bit, (source, group) in drivers.items():
        for sink, other in listeners.get(bit, ()):
            if sink != source:
                found.setdefault((source, group.name, sink), []).append((group, other))
    connections = []
    for (source, port, sink), wires in found.items():
        if all(group.back for group, _ in wires):
            continue  # the way back of a handshake
        is_stream = any(group.stream and other.stream for group, other in wires)
        title = min((port, *(other.name for _, other in wires if other.stream)), key=len) if is_stream else port
        connections.append(Connection(source, port, sink, len(wires), is_stream, title))
    return Structure(top, manifest.entry(top).children, tuple(sorted(connections)))
