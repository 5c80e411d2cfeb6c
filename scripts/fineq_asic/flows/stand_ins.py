"""Verilog of an accelerator in which stand-ins take the places of the array and of all large memories.

A stand-in has the ports of what it stands for, a register behind every input and one before every output.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fineq_asic.mapping.yosys import run_yosys
from fineq_hw.array.processing_array import ProcessingArray
from fineq_hw.baseline.mac_array import MacArray
from fineq_hw.export.manifest import Manifest

MACRO_WORDS = 16
"""Memories with fewer words (queues) and those that are never written (tables) are logic."""

_MACROS = f"t:$mem_v2 r:SIZE>={MACRO_WORDS} %i r:WR_PORTS>0 %i"
"""Yosys' selection of the memories that are not mapped."""


@dataclass(frozen=True)
class MemoryArray:
    """A memory that is not mapped: where it is, and its size."""

    block: str
    name: str
    words: int
    bits: int


@dataclass
class LogicVerilog:
    """Verilog of all that is mapped, with the stand-ins.

    Attributes:
        texts: by module.
        memory_stand_ins: name of the stand-in for the memories of a module, by module; its instance has that name too.
        memories: those that are left out; `block` is the module.
    """

    texts: dict[str, str] = field(default_factory=dict)
    memory_stand_ins: dict[str, str] = field(default_factory=dict)
    memories: list[MemoryArray] = field(default_factory=list)

    def write(self, work: Path) -> list[Path]:
        """One file a module."""
        files = []
        for name, text in self.texts.items():
            files.append(work / f"{name}.v")
            files[-1].write_text(text, encoding="utf-8")
        return files


def is_array(manifest: Manifest, module: str) -> bool:
    """Whether a module is the array of an accelerator."""
    return module in manifest.modules and manifest.modules[module].kind in (ProcessingArray.KIND, MacArray.KIND)


def with_stand_ins(texts: Mapping[str, str], manifest: Manifest, top: str, work: Path) -> LogicVerilog:
    """Verilog of `top` and everything under it but memories and array.

    Args:
        texts: Verilog by module.
        manifest: of the modules.
        top: a module.
        work: directory for what Yosys reads and writes.

    Raises:
        SynthesisError: Yosys fails.
    """
    modules = _modules_of_logic(manifest, top)
    logic = {name: texts[name] for name in modules if not is_array(manifest, name)}
    with_macros = _modules_with_macros(logic, work)
    result = LogicVerilog()
    for name in modules:
        if name not in logic:
            ports = [(port.direction, port.name, port.bits) for port in manifest.entry(name).ports]
            result.texts[name] = stand_in(name, ports)
        elif name not in with_macros:
            result.texts[name] = texts[name]
        else:
            result.memory_stand_ins[name] = f"stand_in_{name}"
            _move_memories(name, texts[name], result, work)
    return result


def _modules_of_logic(manifest: Manifest, top: str) -> list[str]:
    """A module and those below it, but nothing below the array."""
    found: dict[str, None] = {}
    waiting = [top]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            waiting += [] if is_array(manifest, name) else manifest.entry(name).children.values()
    return list(found)


def _modules_with_macros(texts: Mapping[str, str], work: Path) -> set[str]:
    """Modules that hold a memory which is not mapped."""
    source, listing = work / "logic.v", work / "macros.txt"
    source.write_text("".join(texts.values()), encoding="utf-8")
    reading = [f"read_verilog {source}", "proc", "opt_clean", "memory -nomap", "opt_clean"]
    run_yosys([*reading, f"select -write {listing} {_MACROS}"], work)
    return {line.partition("/")[0] for line in listing.read_text(encoding="utf-8").splitlines()}


def _move_memories(module: str, text: str, result: LogicVerilog, work: Path) -> None:
    """Move the large memories of a module into a stand-in beside it."""
    name = result.memory_stand_ins[module]
    source, moved, listing = (work / f"{module}.{end}" for end in ("source.v", "moved.v", "json"))
    source.write_text(text, encoding="utf-8")
    run_yosys(
        [
            f"read_verilog {source}",
            "proc",
            "opt_clean",
            "memory -nomap",
            "opt_clean",
            f"select -set macros {_MACROS}",
            f"submod -name {name} @macros",
            "opt_clean",
            f"write_json {listing}",
            f"select {module}",
            f"write_verilog -noattr -selected {moved}",
        ],
        work,
    )
    box = json.loads(listing.read_text(encoding="utf-8"))["modules"][name]
    ports = [(port["direction"], key.lstrip("\\"), len(port["bits"])) for key, port in box["ports"].items()]
    moved_text = moved.read_text(encoding="utf-8")
    result.texts[module] = moved_text[moved_text.index("module ") :]
    result.texts[name] = stand_in(name, ports)
    cells = [cell["parameters"] for cell in box["cells"].values() if cell["type"] == "$mem_v2"]
    sizes = [(_rtl_name(cell["MEMID"]), int(cell["SIZE"], 2), int(cell["WIDTH"], 2)) for cell in cells]
    result.memories += [MemoryArray(module, *each) for each in sorted(sizes)]


def _rtl_name(memory: str) -> str:
    """Name of a memory in the RTL: Yosys' name for it without the mark of names and the number that it may add."""
    return re.sub(r"\$\d+$", "", memory.lstrip("\\"))


def stand_in(name: str, ports: list[tuple[str, str, int]]) -> str:
    """Verilog of a module with a register behind every input and before every output, all of them needed.

    Args:
        name: of the module.
        ports: direction, name and width.
    """
    ports = [(direction, port if port == "clk" else f"\\{port} ", width) for direction, port, width in ports]
    inputs = [
        (port, width) for direction, port, width in ports if direction == "input" and port not in ("clk", "\\rst ")
    ]
    outputs = [(port, width) for direction, port, width in ports if direction == "output"]
    into, out = (max(1, sum(width for _, width in group)) for group in (inputs, outputs))
    # A ring of registers that all inputs turn: none is a copy of another.
    sources = [f"read[{(bit + 1) % out}]" for bit in range(out)]
    for bit in range(into):
        sources[bit % out] += f" ^ held[{bit}]"
    body = [f"    read[{bit}] <= {source};" for bit, source in enumerate(sources)]
    names = ", ".join(port for _, port, _ in ports)
    return "\n".join(
        [
            f"module {name}({names});",
            *(f"  {direction} [{width - 1}:0] {port};" for direction, port, width in ports),
            f"  reg [{into - 1}:0] held;",
            f"  reg [{out - 1}:0] read;",
            "  always @(posedge clk) begin",
            f"    held <= {{{', '.join(port for port, _ in inputs)}}};",
            *body,
            "  end",
            f"  assign {{{', '.join(port for port, _ in outputs)}}} = read;",
            "endmodule",
            "",
        ]
    )
