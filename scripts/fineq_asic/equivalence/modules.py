"""Proves a mapped netlist equal to its RTL with Yosys, module by module.

Every module that stays a module in the netlist is compared with the RTL module of its name, everything below
dissolved on both sides except the kept modules, which are taken as black boxes with the same inputs and outputs.
If every module of a netlist is equal, the netlist is. Flattened runs compare a small core as a whole.

Registers correspond by name. Yosys pairs all nets that carry the same name on both sides and proves the pairs
by satisfiability, cutting the logic at pairs that are proven or assumed; what is assumed is proven in its turn
(`equiv_make`, `equiv_simple`, `equiv_induct`). A proof therefore says: from equal register contents, all outputs
and all next register contents are equal for every input.

What the proof takes for granted about cells of the library: the functions of the Liberty file; that a flip-flop
behind a clock gate is a flip-flop that holds its value in cycles whose enable is low; that the latch cell and the
clock gate before it are the modules `fineq_latch` and `fineq_clock_gate` of the RTL, cell by cell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import BooleanFunction, Library
from fineq_asic.mapping.yosys import CLOCK_GATE_MODULE, LATCH_MODULE, run_yosys
from fineq_asic.netlist.netlist import Instance, Module, Netlist

BLACK_BOXES = f"""(* blackbox *) module {LATCH_MODULE}(input enable, d, output q); endmodule
(* blackbox *) module {CLOCK_GATE_MODULE}(input clk, enable, output gated_clk); endmodule
"""
_CLOCK = "clk"


@dataclass(frozen=True)
class Verdict:
    """Outcome of one proof.

    Attributes:
        module: what was compared.
        proven: every pair of nets is equal.
        pairs: pairs of nets compared.
        unproven: pairs that could not be proven equal.
        first: name of the first of these.
    """

    module: str
    proven: bool
    pairs: int
    unproven: int
    first: str = ""


def functional_verilog(module: Module, netlist: Netlist, library: Library) -> str:
    """A mapped module as plain Verilog: cell functions as expressions, gated flip-flops as enable flip-flops."""
    return "".join(_Functional(module, netlist, library).lines())


class _Functional:
    def __init__(self, module: Module, netlist: Netlist, library: Library) -> None:
        self.module, self.netlist, self.library = module, netlist, library
        self.clock = next((p.bits[0] for name, p in module.ports.items() if name == _CLOCK), None)
        self.gates = {
            i.pins[library.cell(i.kind).outputs[0].name][0]: i
            for i in module.instances
            if i.kind in library.cells and library.cell(i.kind).clock_gate
        }
        self.buffered = {  # by output net: what a buffer repeats
            i.pins[library.cell(i.kind).outputs[0].name][0]: i.pins[library.cell(i.kind).inputs[0].name][0]
            for i in module.instances
            if i.kind in library.cells and i.kind.startswith("BUF_")
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
        for name, bit in self.module.aliases.items():  # vectors that the mapping has split already
            if split := re.fullmatch(r"(.*)\[(\d+)\]", name):
                names.setdefault(f"{split.group(1)}<{split.group(2)}>", bit)
        for name, bit in names.items():
            if name not in ports and bit in used:
                yield f"  (* keep *) wire {_escape(name)} = n{bit};\n"

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
                clock = next(pin.name for pin in cell.inputs if pin.is_clock)
                enable = next(pin.name for pin in cell.inputs if not pin.is_clock)
                name = _escape(_without_cell(instance.name))
                yield (
                    f"  {CLOCK_GATE_MODULE} {name} (.clk({nets[clock]}), .enable({nets[enable]}), "
                    f".gated_clk({nets[cell.outputs[0].name]}));\n"
                )
            return
        if cell.register is not None and cell.register.kind == "latch":
            data, gate = cell.register.data.inputs[0], cell.register.clock.inputs[0]
            name = _escape(_without_cell(instance.name))
            if cell.register.clock.text != gate:
                raise SynthesisError(f"{cell.name} is open while its enable is low: {LATCH_MODULE} is not")
            yield f"  {LATCH_MODULE} {name} (.enable({nets[gate]}), .d({nets[data]}), .q({nets['Q']}));\n"
            return
        if cell.register is not None:
            yield from self._flop(cell.register, cell.outputs, nets, instance)
            return
        for pin in cell.outputs:
            if pin.name in nets and pin.function is not None:
                yield f"  assign {nets[pin.name]} = {_expression(pin.function, nets)};\n"

    def _flop(self, register, outputs, nets: dict[str, str], instance: Instance) -> Iterator[str]:
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
            pins = {pin.is_clock: gate.pins[pin.name][0] for pin in cell.inputs}
            if pins[True] != self.clock:
                raise SynthesisError(f"a clock gate in {self.module.name} is not clocked by the clock port")
            enable = f"if (n{pins[False]}) "
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
            if instance.kind.startswith("BUF_"):
                continue
            return cell is None or cell.register is None or cell.register.kind == "latch"
        return True

    @staticmethod
    def _vector(bits: Sequence[int | str]) -> str:
        return "{" + ", ".join(f"n{bit}" if isinstance(bit, int) else f"1'b{bit}" for bit in reversed(bits)) + "}"


def _without_cell(name: str) -> str:
    """Name of an RTL instance whose place a library cell took (`mapping` calls the cell in it `cell_`)."""
    return name.removesuffix(".cell_")


def _expression(function: BooleanFunction, nets: dict[str, str]) -> str:
    text = function.text.replace("!", "~").replace("+", "|").replace("*", "&")
    return "(" + re.sub(r"[A-Za-z_]\w*", lambda match: nets[match.group()], text) + ")"


def _escape(name: str) -> str:
    return f"\\{name} "


def preparation(
    name: str,
    files: Sequence[Path],
    boxes: Path,
    kept: Sequence[str],
    side: str,
    work: Path,
    passes: Sequence[str] = (),
) -> list[str]:
    """Yosys commands that write one side of a comparison as `<side>.json`: dissolved, one net a bit.

    Args:
        name: of the module.
        files: Verilog of this side.
        boxes: Verilog with the black boxes of every comparison.
        kept: modules that are black boxes as well.
        side: new name of the module.
        work: directory for the file.
        passes: further commands once the module is dissolved.
    """
    return [
        *(f"read_verilog {file}" for file in files),
        f"read_verilog -overwrite {boxes}",
        *(f"blackbox {other}" for other in kept),
        f"hierarchy -check -top {name}",
        "proc",
        "flatten",
        "opt_expr",
        "opt_clean",
        *passes,
        "splitnets -ports -format <>",
        f"rename {name} {side}",
        f"write_json {work / side}.json",
        "design -reset",
    ]


def turn_out(module: dict, kinds: set[str]) -> None:
    """Turn cells of the given kinds into ports of a module as Yosys writes it in JSON.

    What goes into such a cell becomes an output to compare, what comes out of it an input that both sides share.
    """
    for name in sorted(name for name, cell in module["cells"].items() if cell["type"] in kinds):
        cell = module["cells"].pop(name)
        for pin, bits in sorted(cell["connections"].items()):
            direction = "output" if cell["port_directions"][pin] == "input" else "input"
            module["ports"][f"{name}|{pin}"] = {"direction": direction, "bits": bits}
            module["netnames"][f"{name}|{pin}"] = {"hide_name": 0, "bits": bits, "attributes": {}}


def pair_names(gold: dict, gate: dict) -> int:
    """Leave one name per net in two modules as Yosys writes them in JSON: the same on both sides where they share one.

    Returns:
        How many nets have a partner, ports not counted.
    """
    named = [_names_by_bit(module) for module in (gold, gate)]
    partner: dict[int, str] = {}
    by_name = {name: bit for bit, names in named[1].items() for name in names}
    taken: set[int] = set()
    for bit, names in sorted(named[0].items()):
        shared = next((name for name in sorted(names) if by_name.get(name) not in taken | {None}), None)
        if shared is not None:
            partner[bit] = shared
            taken.add(by_name[shared])
    chosen = [partner, {by_name[name]: name for name in partner.values()}]
    for module, names, side in zip((gold, gate), chosen, ("gold", "gate"), strict=True):
        ports = {bit for port in module["ports"].values() for bit in port["bits"]}
        bits = {bit for cell in module["cells"].values() for pins in cell["connections"].values() for bit in pins}
        kept = {name: net for name, net in module["netnames"].items() if name in module["ports"]}
        for bit in sorted(bit for bit in bits if isinstance(bit, int) and bit not in ports):
            name = names.get(bit, f"{side}_only_{bit}")
            kept[name] = {"hide_name": 0, "bits": [bit], "attributes": {}}
        module["netnames"] = kept
    inner = {bit for port in gold["ports"].values() for bit in port["bits"]}
    return len(partner.keys() - inner)


_TEMPORARY = re.compile(r"(^|\.)_\d+_")
"""Names that Yosys gives to intermediate results when it writes Verilog. Its arithmetic passes reuse such nets for
other values, so they say nothing about what a net is."""


def _names_by_bit(module: dict) -> dict[int, list[str]]:
    """Names of every net with a name of its own; ports have theirs already."""
    found: dict[int, list[str]] = {}
    ports = {bit for port in module["ports"].values() for bit in port["bits"]}
    for name, net in module["netnames"].items():
        if _TEMPORARY.search(name):
            continue
        if not net["hide_name"] and len(net["bits"]) == 1 and isinstance(net["bits"][0], int):
            if net["bits"][0] not in ports:
                found.setdefault(net["bits"][0], []).append(name)
    return found


def prove_module(
    name: str,
    rtl: Sequence[Path],
    netlist: Netlist,
    library: Library,
    work: Path,
    kept: Sequence[str] = (),
    limit_s: float | None = None,
) -> Verdict:
    """Compare one module of a netlist with the RTL module of its name.

    Args:
        name: of the module.
        rtl: one Verilog file a module, named after it, with everything below the module.
        netlist: holds the mapped module.
        library: its cells.
        work: directory for scripts and logs.
        kept: modules below that are black boxes on both sides; modules that are not are dissolved.
        limit_s: give up after so many seconds.

    Raises:
        SynthesisError: Yosys fails, or the netlist has a cell that the comparison does not know.
        TimeoutError: not done within the limit.
    """
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    boxes, gate = work / "boxes.v", work / "gate.v"
    boxes.write_text(BLACK_BOXES, encoding="utf-8")
    gate.write_text(mapped_text(name, netlist, library, kept), encoding="utf-8")
    files = [file.resolve() for file in rtl]
    stubs = [file for file in files if file.stem in kept]
    script = preparation(name, files, boxes, kept, "gold", work)
    run_yosys(script + preparation(name, [*stubs, gate], boxes, kept, "gate", work), work)
    sides = {side: json.loads((work / f"{side}.json").read_text(encoding="utf-8")) for side in ("gold", "gate")}
    boxed = {*kept, LATCH_MODULE, CLOCK_GATE_MODULE}
    for side, document in sides.items():
        turn_out(document["modules"][side], boxed)
    pair_names(*(sides[side]["modules"][side] for side in sides))
    for side, document in sides.items():
        document["modules"] = {side: document["modules"][side]}
        (work / f"{side}.json").write_text(json.dumps(document), encoding="utf-8")
    (work / "yosys.log").replace(work / "prepare.log")
    commands = [f"read_json {work / side}.json" for side in sides]
    commands += ["equiv_make gold gate equiv", "hierarchy -top equiv"]
    commands += ["equiv_simple", "equiv_induct -seq 2", "equiv_status"]
    return read_status(name, run_yosys(commands, work, limit_s))


def mapped_text(name: str, netlist: Netlist, library: Library, kept: Sequence[str]) -> str:
    """Functional Verilog of a mapped module and of those below it that are not kept."""
    wanted, texts = [name], []
    for module in wanted:
        texts.append(functional_verilog(netlist.modules[module], netlist, library))
        below = sorted({i.kind for i in netlist.modules[module].instances} & netlist.modules.keys())
        wanted += [kind for kind in below if kind not in kept and kind not in wanted]
    return "".join(texts)


def read_status(name: str, log: str) -> Verdict:
    """Verdict from the log of `equiv_status`.

    Raises:
        SynthesisError: the log has none, or nothing was compared.
    """
    found = re.search(r"Found (\d+) \$equiv cells in equiv:\s+Of those cells (\d+) are proven and (\d+) are", log)
    if found is None or int(found.group(1)) == 0:
        raise SynthesisError(f"nothing was compared for {name}: see yosys.log")
    pairs, _, unproven = map(int, found.groups())
    first = re.search(r"Unproven \$equiv \S+: (.+)", log[found.end() :])
    return Verdict(name, unproven == 0, pairs, unproven, first.group(1).strip() if first else "")
