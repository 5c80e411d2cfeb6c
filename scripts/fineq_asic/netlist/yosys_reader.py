"""Mapped netlists as they come from Yosys: read from its JSON, one net an output, complements from the registers."""

from __future__ import annotations

import json
from pathlib import Path

from fineq_asic.errors import SynthesisError
from fineq_asic.library.chosen_cells import BUFFERS, INVERTER, TIES
from fineq_asic.library.liberty import Library
from fineq_asic.library.recognition import inverted_input
from fineq_asic.netlist.netlist import Instance, Module, Netlist, Port

INVERTED_OUTPUT = "fineq_inverted_output"
"""Place-holder cell between a register and what takes its complement (`use_inverted_outputs`)."""


def read_json(path: Path, top: str) -> Netlist:
    """Read what Yosys `write_json` wrote.

    Raises:
        SynthesisError: the top module is missing, or a cell pin is tied to a constant or undefined value.
    """
    document = json.loads(path.read_text(encoding="utf-8"))["modules"]
    if top not in document:
        raise SynthesisError(f"the mapped netlist has no module {top}")
    modules: dict[str, Module] = {}
    waiting = [top]
    while waiting:
        name = waiting.pop()
        if name in modules:
            continue
        source = document[name]
        module = Module(
            name,
            {port: Port(value["direction"], value["bits"]) for port, value in source["ports"].items()},
            [],
        )
        for instance_name, value in source["cells"].items():
            kind = value["type"]
            if kind == "$scopeinfo":
                continue
            for pin, bits in value["connections"].items():
                if any(isinstance(bit, str) for bit in bits) and value["port_directions"].get(pin) != "output":
                    constant = next(bit for bit in bits if isinstance(bit, str))
                    where = f"pin {pin} of {instance_name} in {name}"
                    raise SynthesisError(f"{where} is tied to {constant!r}: use a tie cell")
            module.instances.append(Instance(instance_name, kind, value["connections"]))
            if kind in document and not _is_blackbox(document[kind]):
                waiting.append(kind)
        for net_name, value in source["netnames"].items():
            for index, bit in enumerate(value["bits"]):
                if not value["hide_name"]:
                    single = len(value["bits"]) == 1
                    module.aliases[net_name if single else f"{net_name}<{index + value.get('offset', 0)}>"] = bit
                if isinstance(bit, int) and (bit not in module.net_names or value["hide_name"] == 0):
                    module.net_names[bit] = f"{net_name}[{index}]" if len(value["bits"]) > 1 else net_name
        _separate_outputs(module)
        modules[name] = module
    return Netlist(top, modules)


def _separate_outputs(module: Module) -> None:
    """Give every output port bit a net of its own: feed-throughs and copies get a buffer, constants a tie cell."""
    taken = {bit for port in module.ports.values() if port.direction == "input" for bit in port.bits}
    for port_name, port in module.ports.items():
        if port.direction == "input":
            continue
        for index, bit in enumerate(port.bits):
            if isinstance(bit, int) and bit not in taken:
                taken.add(bit)
                continue
            net = module.new_net()
            name = f"output_{port_name}_{index}"
            if isinstance(bit, int):
                module.instances.append(Instance(name, BUFFERS[0], {"A": [bit], "Z": [net]}))
            else:
                module.instances.append(Instance(name, TIES["1" if bit == "1" else "0"], {"Z": [net]}))
            port.bits[index] = net


def use_inverted_outputs(netlist: Netlist, library: Library) -> None:
    """Take the complement of a register from its own inverted output where an inverter would make it.

    Place-holders of the mapping become that output, or an inverter if the register has none to spare. An output
    can be given away once: the first inverter in the module gets it.
    """
    for module in netlist.modules.values():
        spare = _spare_complements(module, library)
        kept = []
        for instance in module.instances:
            pins = _inverter_pins(instance, library)
            complement = spare.pop(instance.pins[pins[0]][0], None) if pins else None
            if pins and complement is not None:
                register, output = complement
                register.pins[output] = instance.pins[pins[1]]
            elif instance.kind == INVERTED_OUTPUT:
                kept.append(Instance(instance.name, INVERTER, {"A": instance.pins["A"], "ZN": instance.pins["Y"]}))
            else:
                kept.append(instance)
        module.instances[:] = kept


def _inverter_pins(instance: Instance, library: Library) -> tuple[str, str] | None:
    """Input and output of an inverter or of a place-holder of one; None for everything else."""
    if instance.kind == INVERTED_OUTPUT:
        return "A", "Y"
    cell = library.cells.get(instance.kind)
    pin = inverted_input(cell) if cell is not None else None
    return (pin, cell.outputs[0].name) if cell is not None and pin is not None else None


def _spare_complements(module: Module, library: Library) -> dict[int | str, tuple[Instance, str]]:
    """Registers with an output that nothing reads, by the net of their other output: the register, and that output."""
    read = _nets_read(module, library)
    spare: dict[int | str, tuple[Instance, str]] = {}
    for instance in module.instances:
        cell = library.cells.get(instance.kind)
        if cell is None or cell.register is None:
            continue
        pin_of = {pin.function.text: pin.name for pin in cell.outputs if pin.function is not None}
        state, inverse = pin_of.get(cell.register.state), pin_of.get(cell.register.inverse)
        for pin, other in ((state, inverse), (inverse, state)):
            if (
                pin is not None
                and pin in instance.pins
                and other is not None
                and read.isdisjoint(instance.pins.get(other, []))
            ):
                spare[instance.pins[pin][0]] = (instance, other)
    return spare


def _nets_read(module: Module, library: Library) -> set[int | str]:
    """Nets that go to an output port or into a cell or module."""
    read: set[int | str] = {bit for port in module.ports.values() if port.direction != "input" for bit in port.bits}
    for instance in module.instances:
        for pin, bits in instance.pins.items():
            if _reads(instance, pin, library):
                read.update(bits)
    return read


def _reads(instance: Instance, pin: str, library: Library) -> bool:
    if instance.kind == INVERTED_OUTPUT:
        return pin == "A"
    cell = library.cells.get(instance.kind)
    return cell is None or cell.pins[pin].direction == "input"


def _is_blackbox(module: dict) -> bool:
    return "blackbox" in module.get("attributes", {}) or "whitebox" in module.get("attributes", {})
