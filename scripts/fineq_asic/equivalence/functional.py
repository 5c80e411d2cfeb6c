"""Mapped modules as plain Verilog: what a proof compares with the RTL.

Cells become the expressions of their Liberty functions, a flip-flop behind a clock gate one that holds its value in
cycles whose enable is low, latches and their clock gates the modules of the RTL that they were placed for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fineq_asic.errors import SynthesisError
from fineq_asic.library.boolean import BooleanFunction
from fineq_asic.library.liberty import Library, Pin, Register
from fineq_asic.library.recognition import clock_pin, enable_pin, repeated_input
from fineq_asic.mapping.placed_cells import GATED_CLOCK, LATCH
from fineq_asic.mapping.yosys import instance_path
from fineq_asic.netlist.netlist import Instance, Module, Netlist

BLACK_BOXES = LATCH.black_box() + GATED_CLOCK.black_box()
"""Cells that both sides of a comparison hold."""

_CLOCK = "clk"


def functional_verilog(module: Module, netlist: Netlist, library: Library) -> str:
    """A mapped module as plain Verilog: cell functions as expressions, gated flip-flops as enable flip-flops."""
    return "".join(_Functional(module, netlist, library).lines())


class _Functional:
    def __init__(self, module: Module, netlist: Netlist, library: Library) -> None:
        self.module, self.netlist, self.library = module, netlist, library
        self.clock = next((p.bits[0] for name, p in module.ports.items() if name == _CLOCK), None)
        cells = [(i, library.cell(i.kind)) for i in module.instances if i.kind in library.cells]
        self.gates = {i.pins[cell.outputs[0].name][0]: i for i, cell in cells if cell.clock_gate}
        self.buffered = {  # by output net: what a buffer repeats
            i.pins[cell.outputs[0].name][0]: i.pins[pin][0] for i, cell in cells if (pin := repeated_input(cell))
        }
        self.count = 0

    def lines(self) -> Iterator[str]:
        module = self.module
        names = [_escape(name) for name in module.ports]
        yield f"module {_escape(module.name)}({', '.join(names)});\n"
        for port, text in zip(module.ports.values(), names, strict=True):
            single = len(port.bits) == 1
            yield f"  {port.direction} {'' if single else f'[{len(port.bits) - 1}:0] '}{text};\n"
            for index, bit in enumerate(port.bits):
                place = text if single else f"{text}[{index}]"
                yield f"  wire n{bit} = {place};\n" if port.direction == "input" else f"  assign {place} = n{bit};\n"
        yield from self._declarations()
        for instance in module.instances:
            yield from self._instance(instance)
        yield "endmodule\n"

    def _declarations(self) -> Iterator[str]:
        inputs = {bit for port in self.module.ports.values() if port.direction == "input" for bit in port.bits}
        used = {bit for i in self.module.instances for bits in i.pins.values() for bit in bits if isinstance(bit, int)}
        used |= {bit for port in self.module.ports.values() for bit in port.bits}
        for bit in sorted(used - inputs):
            yield f"  wire n{bit};\n"
        ports = {
            name if len(port.bits) == 1 else f"{name}<{index}>"
            for name, port in self.module.ports.items()
            for index in range(len(port.bits))
        }
        names = dict(self.module.aliases)
        for name, net in self.module.aliases.items():  # vectors that the mapping has split already
            if split := re.fullmatch(r"(.*)\[(\d+)\]", name):
                names.setdefault(f"{split.group(1)}<{split.group(2)}>", net)
        for name, net in names.items():
            if name not in ports and net in used:
                yield f"  (* keep *) wire {_escape(name)} = n{net};\n"

    def _instance(self, instance: Instance) -> Iterator[str]:
        child = self.netlist.modules.get(instance.kind)
        if child is not None:
            pins = [f".{_escape(pin)}({self._vector(bits)})" for pin, bits in instance.pins.items()]
            yield f"  {_escape(instance.kind)} {_escape(instance.name)} ({', '.join(pins)});\n"
            return
        cell = self.library.cell(instance.kind)
        nets = {pin: f"n{bits[0]}" for pin, bits in instance.pins.items()}
        if cell.clock_gate:
            if self._drives_latches(instance):
                yield (
                    f"  {GATED_CLOCK.module} {self._placed(instance)} (.clk({nets[clock_pin(cell)]}), "
                    f".enable({nets[enable_pin(cell)]}), .gated_clk({nets[cell.outputs[0].name]}));\n"
                )
            return
        if cell.register is not None and cell.register.kind == "latch":
            data, gate = cell.register.data.inputs[0], cell.register.clock.inputs[0]
            if cell.register.clock.text != gate:
                raise SynthesisError(f"{cell.name} is open while its enable is low: {LATCH.module} is not")
            state = nets[cell.outputs[0].name]
            yield f"  {LATCH.module} {self._placed(instance)} (.enable({nets[gate]}), .d({nets[data]}), .q({state}));\n"
            return
        if cell.register is not None:
            yield from self._flop(cell.register, cell.outputs, nets, instance)
            return
        for pin in cell.outputs:
            if pin.name in nets and pin.function is not None:
                yield f"  assign {nets[pin.name]} = {_expression(pin.function, nets)};\n"

    def _flop(self, register: Register, outputs: list[Pin], nets: dict[str, str], instance: Instance) -> Iterator[str]:
        if register.clear is not None or register.preset is not None:
            raise SynthesisError(f"{instance.kind} has an asynchronous reset: the RTL has none")
        clock = instance.pins[register.clock.inputs[0]][0]
        while clock in self.buffered:
            clock = self.buffered[clock]
        gate = self.gates.get(clock)
        if gate is None and clock != self.clock:
            raise SynthesisError(f"a {instance.kind} in {self.module.name} has a clock that is not the clock port's")
        enable = ""
        if gate is not None:
            cell = self.library.cell(gate.kind)
            if gate.pins[clock_pin(cell)][0] != self.clock:
                raise SynthesisError(f"a clock gate in {self.module.name} is not clocked by the clock port")
            enable = f"if (n{gate.pins[enable_pin(cell)][0]}) "
        self.count += 1
        state = f"state_{self.count}"
        yield f"  reg {state}; always @(posedge n{self.clock}) {enable}{state} <= {_expression(register.data, nets)};\n"
        for pin in outputs:
            if pin.name in nets and pin.function is not None:
                inverted = "~" if pin.function.text == register.inverse else ""
                yield f"  assign {nets[pin.name]} = {inverted}{state};\n"

    def _drives_latches(self, gate: Instance) -> bool:
        net = gate.pins[self.library.cell(gate.kind).outputs[0].name][0]
        nets = {net} | {output for output, source in self.buffered.items() if source == net}
        for instance in self.module.instances:
            if instance is gate or not any(nets.intersection(bits) for bits in instance.pins.values()):
                continue
            cell = self.library.cells.get(instance.kind)
            if cell is not None and repeated_input(cell):
                continue
            return cell is None or cell.register is None or cell.register.kind == "latch"
        return True

    def _placed(self, instance: Instance) -> str:
        """Name of the RTL instance whose place a cell took.

        Raises:
            SynthesisError: the cell was not placed by the RTL.
        """
        path = instance_path(instance.name)
        if not path:
            raise SynthesisError(
                f"{instance.kind} {instance.name} of {self.module.name} is no cell that the RTL placed"
            )
        return _escape(".".join(path))

    @staticmethod
    def _vector(bits: Sequence[int | str]) -> str:
        return "{" + ", ".join(f"n{bit}" if isinstance(bit, int) else f"1'b{bit}" for bit in reversed(bits)) + "}"


def _expression(function: BooleanFunction, nets: dict[str, str]) -> str:
    text = function.text.replace("!", "~").replace("+", "|").replace("*", "&")
    return "(" + re.sub(r"[A-Za-z_]\w*", lambda match: nets[match.group()], text) + ")"


def _escape(name: str) -> str:
    return f"\\{name} "


def mapped_text(name: str, netlist: Netlist, library: Library, kept: Sequence[str]) -> str:
    """Functional Verilog of a mapped module and of those below it that are not kept."""
    wanted, texts = [name], []
    for module in wanted:
        texts.append(functional_verilog(netlist.modules[module], netlist, library))
        below = sorted({i.kind for i in netlist.modules[module].instances} & netlist.modules.keys())
        wanted += [kind for kind in below if kind not in kept and kind not in wanted]
    return "".join(texts)
