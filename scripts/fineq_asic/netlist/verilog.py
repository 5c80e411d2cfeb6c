"""Writes mapped netlists as structural Verilog."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fineq_asic.netlist.netlist import Module, Netlist


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
    for instance, instance_name in zip(module.instances, instance_names(module), strict=True):
        pins = []
        for pin, bits in instance.pins.items():
            wires = [names[bit] if isinstance(bit, int) else f"1'b{bit}" for bit in reversed(bits)]
            pins.append(f".{_escape(pin)}({wires[0] if len(wires) == 1 else '{' + ', '.join(wires) + '}'})")
        yield f"  {_escape(instance.kind)} {instance_name} ({', '.join(pins)});\n"
    yield "endmodule\n\n"


def instance_names(module: Module) -> list[str]:
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
