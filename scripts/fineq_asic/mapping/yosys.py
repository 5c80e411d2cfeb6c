"""Maps RTL to the standard cells with Yosys and ABC (the `pyosys` wheel).

What repeats stays a module and is mapped once (a row of the array, for instance). Smaller units that repeat
inside it (a processing element, an encoder) are optimised once and then dissolved into it, so that clock gates
are shared between them; their cells keep the unit's instance name, which is how area and power are
attributed. Full and half adders are placed as library cells: ABC cannot find cells with two outputs by itself.
Latches and their clock gates are placed as well, so that no latch can come about by accident.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fineq_asic.errors import SynthesisError
from fineq_asic.library.chosen_cells import DONT_USE, DRIVING_CELL, TIES
from fineq_asic.library.liberty import Library
from fineq_asic.library.pdk import Pdk
from fineq_asic.mapping.placed_cells import CELL_INSTANCE, FULL_ADDER, GATED_CLOCK, LATCH, cell_map, placed_modules
from fineq_asic.netlist.netlist import Netlist
from fineq_asic.netlist.yosys_reader import INVERTED_OUTPUT, read_json, use_inverted_outputs

_ADDER_MAP = f"""
(* techmap_celltype = "$fa" *)
module _fineq_fa (A, B, C, X, Y);
  parameter WIDTH = 1;
  input [WIDTH-1:0] A, B, C;
  output [WIDTH-1:0] X, Y;
  genvar i;
  generate for (i = 0; i < WIDTH; i = i + 1) begin : bits
    {FULL_ADDER.cell} {CELL_INSTANCE} (.A(A[i]), .B(B[i]), .CI(C[i]), .CO(X[i]), .S(Y[i]));
  end endgenerate
endmodule
"""
"""Verilog template of the adders of Yosys' arithmetic passes."""

_INVERTER_MAP = f"""
(* techmap_celltype = "$_NOT_" *)
module _fineq_inverted_output (A, Y);
  input A;
  output Y;
  {INVERTED_OUTPUT} {CELL_INSTANCE} (.A(A), .Y(Y));
endmodule
"""
_BLACKBOXES = f"(* blackbox *)\nmodule {INVERTED_OUTPUT} (input A, output Y);\nendmodule\n"
"""An inverter behind a register is a place-holder until the register is a cell with an inverted output to use:
ABC then takes both polarities as free, which they are."""

_FLATTENED = "$flatten"

_CLOCK_GATE = f"{GATED_CLOCK.cell} " + ":".join(GATED_CLOCK.pins[port] for port in ("enable", "clk", "gated_clk"))
CLOCK_GATE_MIN_FLOPS = 4
"""A clock gate (3.458 um^2) replaces a multiplexer (1.862 um^2) per flop from this many flops on."""

_OPTIMISE = "+strash;ifraig;scorr;dc2;dch,-f;"
_SIZE = ";topo;buffer,-c;topo;upsize,{D};dnsize,{D}"
_ABC_SCRIPTS = {
    "area": (_OPTIMISE + "amap,-m" + _SIZE, None),
    "balanced": (_OPTIMISE + "amap,-m" + _SIZE, 300),
    "speed": (_OPTIMISE + "map,-B,0.9,{D}" + _SIZE, 300),
}
"""ABC scripts by effort, smallest netlist first, with the delay target in ps; None: the clock period. ABC sees the
logic between full adders only, so the full period is easily met and leaves the area smallest; a tight target closes
timing."""

_OUTPUT_LOAD_FF = 8.0
"""What ABC assumes behind a piece of logic: a few gates."""


@dataclass(frozen=True)
class MappingOptions:
    """How to map.

    Attributes:
        clock_ns: target clock period in ns.
        keep_modules: modules that stay modules; a name that is not there means nothing.
        unit_modules: modules whose logic is mapped once before they are flattened into their parents.
        both_polarities: modules whose registers offer their complement to ABC for nothing, as their cells do;
            pays off where both are needed, costs a little elsewhere.
        clock_gating: put enable flip-flops behind clock gates.
        effort: a key of `_ABC_SCRIPTS`.
    """

    clock_ns: float = 2.5
    keep_modules: tuple[str, ...] = ()
    unit_modules: tuple[str, ...] = ()
    both_polarities: tuple[str, ...] = ()
    clock_gating: bool = True
    effort: str = "area"


def yosys_script(files: Sequence[Path], top: str, options: MappingOptions, pdk: Pdk, work: Path) -> list[str]:
    """The Yosys commands that map `top` and write `work/netlist.json`; `files` as in `map_design`."""
    sources = [file for file in files if file.stem not in placed_modules()]
    names = [file.stem for file in sources if file.stem != top]
    kept = [name for name in names if name in options.keep_modules]
    units = [name for name in names if name in options.unit_modules]
    dont_use = " ".join(f"-dont_use {pattern}" for pattern in DONT_USE)
    script, target = _ABC_SCRIPTS[options.effort]
    abc, abc_unit = (
        f"abc -liberty {pdk.liberty} -constr {work / 'abc.constr'} -D {target or round(options.clock_ns * 1000)} "
        f"{dont_use} -script {text}"
        # What a unit drives and is driven by shows in its parent only: no buffers and no sizing in it.
        for text in (script, script.removesuffix(_SIZE))
    )
    to_gates = [
        "opt -full",
        "peepopt",
        "wreduce",
        "opt_clean",
        "booth",
        "alumacc",
        "share",
        "opt -full",
        "memory_map",
        "opt_dff",
        "maccmap -unmap",
        f"techmap -map {work / 'cells.v'}",
        "techmap",
        "opt -fast",
    ]
    polarities = []
    for name in (name for name in names if name in options.both_polarities):
        polarities += [
            f"splitnets {name}",
            f"select -set behind_register {name}/t:$_*DFF* %co2 {name}/t:$_NOT_ %i",
            f"techmap -map {work / 'inverters.v'} @behind_register",
        ]
    return [
        f"read_liberty -lib {pdk.liberty}",
        f"read_verilog {work / 'blackboxes.v'}",
        f"read_verilog {work / 'cells.v'}",
        *(f"read_verilog {file}" for file in sources),
        f"hierarchy -check -top {top}",
        "proc",
        "select -list t:$*latch*",
        "select -assert-none t:$*latch*",
        "setattr -unset init w:*",
        *(f"setattr -mod -set keep_hierarchy 1 {name}" for name in kept + units),
        "flatten",
        *to_gates,
        *polarities,
        *([f"select {' '.join(units)}", abc_unit, "select -clear"] if units else []),
        *(f"setattr -mod -unset keep_hierarchy {name}" for name in units),
        "flatten",
        "opt -fast",
        *([f"clockgate -pos {_CLOCK_GATE} -min_net_size {CLOCK_GATE_MIN_FLOPS}"] if options.clock_gating else []),
        f"dfflibmap {dont_use} -liberty {pdk.liberty}",
        "opt -fast",
        abc,
        "opt_clean -purge",
        f"hilomap -singleton -hicell {TIES['1']} Z -locell {TIES['0']} Z",
        "check -assert",
        f"write_json {work / 'netlist.json'}",
    ]


def instance_path(name: str) -> tuple[str, ...]:
    """Instances that a cell of a mapped module was dissolved from, outermost first; empty for its own cells.

    Yosys puts the names of dissolved instances in front of a cell's name, each followed by a dot. If the cell has a
    name of its own, the whole is a plain name; if not, all of it stands behind the mark `$flatten`, and what follows
    the instances begins with `$`. The names that its passes give have dots too, but never begin with an instance.
    """
    if name.startswith(_FLATTENED):
        return tuple(part.removeprefix("\\") for part in name.removeprefix(_FLATTENED).split(".$")[0].split("."))
    return () if name.startswith("$") else tuple(name.split(".")[:-1])


CODE_PACKAGES = ("pyosys",)
"""What the program of `run_yosys` imports (`fineq.common.cache_keys`)."""


def run_yosys(commands: Sequence[str], work: Path, limit_s: float | None = None) -> str:
    """Run Yosys commands in a process of its own; returns the log.

    Raises:
        SynthesisError: pyosys is missing, or a command fails; the text carries Yosys' own error line.
        TimeoutError: not done after `limit_s` seconds.
    """
    script = work / "map.ys"
    script.write_text("\n".join(commands) + "\n", encoding="utf-8")
    program = "import sys; from pyosys import libyosys as ys; ys.run_pass('script ' + sys.argv[1], ys.Design())"
    try:
        result = subprocess.run(
            [sys.executable, "-c", program, str(script.resolve())],
            cwd=work,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"Yosys was not done after {limit_s:g} s") from None
    log = result.stdout + result.stderr
    (work / "yosys.log").write_text(log, encoding="utf-8")
    if "ModuleNotFoundError" in log:
        raise SynthesisError("pyosys is missing: install it with pip install 'fineq[hw]'")
    if re.search(r"^ERROR: Assertion failed: selection is not empty: t:\$\*latch\*", log, re.MULTILINE):
        raise SynthesisError(
            f"the RTL has a latch that nobody asked for (see yosys.log): place {LATCH.module} where one is meant"
        )
    errors = [line.strip() for line in log.splitlines() if re.search(r"\bERROR:|^ABC: Error", line)]
    if result.returncode != 0 or errors:
        reason = errors[0] if errors else f"exit status {result.returncode}"
        raise SynthesisError(f"Yosys failed: {reason} (log: yosys.log)")
    return log


def map_design(
    files: Sequence[Path], top: str, options: MappingOptions, pdk: Pdk, library: Library, work: Path
) -> Netlist:
    """Map one design.

    Args:
        files: Verilog of the design, one file a module, named after it; those that stand for a cell may be there.
        top: name of its top module.
        options: clock target and hierarchy.
        pdk, library: the cells.
        work: directory for the script, the log and the JSON netlist; created.

    Raises:
        SynthesisError: Yosys fails or a cell stays unmapped.
    """
    work = work.resolve()  # the tools run inside it
    work.mkdir(parents=True, exist_ok=True)
    (work / "cells.v").write_text(cell_map(library) + _ADDER_MAP, encoding="utf-8")
    (work / "inverters.v").write_text(_INVERTER_MAP, encoding="utf-8")
    (work / "blackboxes.v").write_text(_BLACKBOXES, encoding="utf-8")
    (work / "abc.constr").write_text(f"set_driving_cell {DRIVING_CELL}\nset_load {_OUTPUT_LOAD_FF}\n", encoding="utf-8")
    run_yosys(yosys_script([file.resolve() for file in files], top, options, pdk, work), work)
    netlist = read_json(work / "netlist.json", top)
    use_inverted_outputs(netlist, library)
    netlist.check_mapped(library)
    return netlist
