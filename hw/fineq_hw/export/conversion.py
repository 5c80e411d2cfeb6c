"""From components to the text of their modules: RTLIL by Amaranth, Verilog by Yosys, one module at a time."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from amaranth.back import rtlil
from amaranth.hdl import UnusedElaboratable
from amaranth.lib import wiring

from fineq.common.tools import ToolError
from fineq_hw.export.manifest import Manifest, ModuleEntry, ModulePort
from fineq_hw.lib.hierarchy import (
    Placed,
    VerilogComponent,
    check_declared,
    check_identifier,
    check_namesakes,
    collecting,
    flat_ports,
)

TO_WORD_CELLS = (
    "proc",
    "opt_clean",
    "opt_expr",
    "opt_merge",
    "opt_clean",
    "opt_dff",
    "setundef -zero",
    "pmuxtree",
    "opt_expr",
    "opt_clean",
)
"""Processes become registers and conditional assignments, which every Verilog tool of the last 25 years reads."""

_YOSYS_PROGRAM = """
import os, pathlib, sys
from pyosys import libyosys as ys

def leave_out_initial_values(design):
    for module in design.selected_modules():
        cells = {str(name): cell for name, cell in module.cells_.items()}
        memory = {name: cell.getParam("\\\\MEMID").decode_string()
                  for name, cell in cells.items() if cell.has_memid() and cell.hasParam("\\\\MEMID")}
        written = {memory[name] for name in memory if str(cells[name].type).startswith("$memwr")}
        for name in memory:
            if str(cells[name].type).startswith("$meminit") and memory[name] in written:
                module.remove(cells[name])
    ys.run_pass("setattr -unset init w:*", design)

for script in sorted(pathlib.Path().glob("*.ys")):
    child = os.fork()
    if child == 0:
        design = ys.Design()
        ys.run_pass(f"script {script}", design)
        if "--without-initial-values" in sys.argv:
            leave_out_initial_values(design)
        ys.run_pass(f"write_verilog -noattr {script.stem}.v", design)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(1)
"""
"""Every module starts from the same state of Yosys, so its text does not depend on the others.

Initial values are left out last, so that the rest of the text is the same but for the numbers of nets; a memory that is
never written is a table and keeps its contents.
"""

CODE_PACKAGES = ("pyosys",)
"""What the program imports (`fineq.common.cache_keys`)."""


class Converted(NamedTuple):
    """Text of every module by its name, and what the modules are."""

    texts: dict[str, str]
    manifest: Manifest


def describe(component: wiring.Component, children: Mapping[str, str]) -> ModuleEntry:
    """The entry of a component.

    Args:
        component: placed in others, or a top; a top need not be a `VerilogComponent`.
        children: module name by instance name.

    Raises:
        ValueError: as `check_declared`, for a `VerilogComponent`.
    """
    children = dict(sorted(children.items()))
    ports = [
        ModulePort(name, "input" if flow == wiring.In else "output", len(value))
        for name, flow, value in flat_ports(component)
    ]
    declared = isinstance(component, VerilogComponent)
    if declared:
        check_declared(component)
    if not declared or component.clocked:
        ports += [ModulePort(name, "input", 1) for name in ("clk", "rst")]
    name, config = type(component).__name__, str(getattr(component, "config", ""))
    if not declared:
        return ModuleEntry(name, name, config, children=children, ports=tuple(ports))
    role = component.ROLE
    return ModuleEntry(
        name,
        component.KIND,
        config,
        True,
        role.block and role.block.value,
        role.buffers and role.buffers.value,
        role.synthesis.value,
        role.both_polarities,
        role.by_sweeping,
        role.repeated,
        children,
        tuple(ports),
    )


def collect(
    tops: Mapping[str, wiring.Component],
    emit_src: bool = False,
    visit: Callable[[str, wiring.Component], None] | None = None,
) -> Converted:
    """Convert components and everything placed in them to RTLIL; components that bring their own Verilog keep it.

    Args:
        tops: components by name.
        emit_src: say of every cell where in the sources it comes from.
        visit: called with the name and the component of every module.

    Raises:
        ValueError: a module name is no Verilog identifier, or stands for components with different ports.
    """
    texts: dict[str, str] = {}
    entries: dict[str, ModuleEntry] = {}
    for name in tops:
        check_identifier(name)
    known = {name: component.signature for name, component in tops.items()}
    waiting: dict[str, wiring.Component] = dict(tops)
    with warnings.catch_warnings():
        # Of all components with one module name only the first is elaborated; the others are meant to be dropped.
        warnings.simplefilter("ignore", UnusedElaboratable)
        while waiting:
            name, component = next(iter(waiting.items()))
            del waiting[name]
            found = Placed()
            if isinstance(component, VerilogComponent) and component.VERILOG is not None:
                texts[name] = component.VERILOG
            else:
                with collecting(found):
                    texts[name] = rtlil.convert(component, name=name, emit_src=emit_src)
            entries[name] = describe(component, found.instances)
            if visit is not None:
                visit(name, component)
            for child, part in found.modules.items():
                check_namesakes(child, known.setdefault(child, part.signature), part.signature)
                if child not in texts:
                    waiting.setdefault(child, part)
                del part
        del found, component
        gc.collect()
    manifest = Manifest({}, entries)
    return Converted(texts, Manifest({top: list(manifest.below(top)) for top in tops}, entries))


def convert(tops: Mapping[str, wiring.Component], *, initial_values: bool = True) -> Converted:
    """Verilog of components and everything placed in them.

    Args:
        tops: components by the module names they shall have.
        initial_values: of registers and memories, as shipped; without them a simulation starts as silicon does.

    Raises:
        ValueError: as `collect`.
        ToolError: Yosys (the `pyosys` wheel) is missing or fails.
    """
    texts, manifest = collect(tops)
    return Converted(_to_verilog(texts, initial_values), manifest)


def _to_verilog(texts: Mapping[str, str], initial_values: bool) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        for name, text in texts.items():
            if text.startswith("module "):
                (work / f"{name}.v").write_text(text, encoding="utf-8")
                continue
            (work / f"{name}.il").write_text(text, encoding="utf-8")
            commands = [f"read_rtlil {name}.il", *TO_WORD_CELLS]
            (work / f"{name}.ys").write_text("\n".join(["", *commands, ""]), encoding="utf-8")
        command = [sys.executable, "-c", _YOSYS_PROGRAM, *([] if initial_values else ["--without-initial-values"])]
        result = subprocess.run(command, cwd=work, capture_output=True, text=True)
        if result.returncode:
            lines = (result.stdout + result.stderr).strip().splitlines()
            raise ToolError(f"Yosys could not write the Verilog: {lines[-1] if lines else 'no message'}")
        return {name: _with_header(name, (work / f"{name}.v").read_text(encoding="utf-8")) for name in sorted(texts)}


def _with_header(name: str, text: str) -> str:
    """Our header in place of Yosys' own, which names its version and compiler."""
    return f"// FineQ: {name}\n" + text[text.index(f"module {name}(") :]
