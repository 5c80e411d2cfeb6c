"""Which block feeds which: read from the Verilog of a top module.

Yosys resolves the wires, so a connection drawn from this is one that exists in the circuit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fineq.common.tools import ToolError
from fineq_hw.export.manifest import Manifest

CODE_PACKAGES = ("pyosys",)
"""What the program of `read_structure` imports (`fineq.common.cache_keys`)."""

OUTSIDE = ""
"""Stands for the ports of the top module itself, in the place of an instance."""

_CLOCKING = ("clk", "rst")


@dataclass(frozen=True, order=True)
class Connection:
    """Wires from one block to another.

    Attributes:
        source: instance that drives, or `OUTSIDE`.
        port: its port; all ports of a stream together, by the stream's name.
        sink: instance that listens, or `OUTSIDE`.
        bits: wires from source to sink.
        stream: the wires have a handshake.
    """

    source: str
    port: str
    sink: str
    bits: int
    stream: bool


@dataclass(frozen=True)
class Structure:
    """Instances of a top module (instance name: module name) and the wires between them."""

    top: str
    instances: Mapping[str, str]
    connections: tuple[Connection, ...]


def _group(port: str) -> str:
    """Name of the stream or bus that a port belongs to."""
    if "__" in port:
        return port.split("__")[0]
    for bus in ("m_axi", "s_axil"):
        if port.startswith(bus + "_"):
            return bus
    return port


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
        (work / "read.ys").write_text("\n".join(commands) + "\n", encoding="utf-8")
        program = "import sys; from pyosys import libyosys as ys; ys.run_pass('script ' + sys.argv[1], ys.Design())"
        result = subprocess.run(
            [sys.executable, "-c", program, "read.ys"], cwd=work, capture_output=True, text=True, check=False
        )
        if result.returncode or not (work / "out.json").is_file():
            raise ToolError(f"Yosys could not read the Verilog of {top}: {(result.stdout + result.stderr)[-300:]}")
        return json.loads((work / "out.json").read_text(encoding="utf-8"))["modules"][top]


def read_structure(modules: Mapping[str, str], manifest: Manifest, top: str) -> Structure:
    """Take the blocks of a module and their connections from its Verilog.

    Args:
        modules, manifest: as `fineq_hw.export.conversion.convert` returns them.
        top: the module to look into; one level of hierarchy.

    Raises:
        ToolError: Yosys is missing or cannot read the Verilog.
        ValueError: no such module.
    """
    if top not in modules:
        raise ValueError(f"there is no module {top!r}: choose one of {', '.join(sorted(modules))}")
    netlist = _netlist(modules, manifest, top)
    cells = {name.lstrip("\\"): cell for name, cell in netlist["cells"].items()}
    instances = manifest.entry(top).children

    drivers: dict[int, tuple[str, str]] = {}
    listeners: dict[int, list[tuple[str, str]]] = {}

    def note(bits: Iterable[object], place: tuple[str, str], drives: bool) -> None:
        for bit in bits:
            if isinstance(bit, int):  # constants are strings
                if drives:
                    drivers[bit] = place
                else:
                    listeners.setdefault(bit, []).append(place)

    for name, port in netlist["ports"].items():
        if name not in _CLOCKING:
            note(port["bits"], (OUTSIDE, name), port["direction"] == "input")
    for name in instances:
        for port, bits in cells[name]["connections"].items():
            if port not in _CLOCKING:
                note(bits, (name, port), cells[name]["port_directions"][port] == "output")

    found: dict[tuple[str, str, str], list[str]] = {}
    for bit, (source, port) in drivers.items():
        for sink, _ in listeners.get(bit, ()):
            if sink != source:
                found.setdefault((source, _group(port), sink), []).append(port)
    connections = [
        Connection(source, port, sink, len(ports), any(name.endswith("__valid") for name in ports))
        for (source, port, sink), ports in found.items()
        if not all(name.endswith("__ready") for name in ports)  # the way back of a handshake
    ]
    return Structure(top, instances, tuple(sorted(connections)))
