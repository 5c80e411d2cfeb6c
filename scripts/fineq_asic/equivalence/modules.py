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

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fineq_asic.equivalence.sides import prepare_sides, write_side
from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import Library
from fineq_asic.mapping.yosys import run_yosys
from fineq_asic.netlist.netlist import Netlist


@dataclass(frozen=True)
class EquivalenceResult:
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


def prove_module(
    name: str,
    rtl: Sequence[Path],
    netlist: Netlist,
    library: Library,
    work: Path,
    kept: Sequence[str] = (),
    limit_s: float | None = None,
) -> EquivalenceResult:
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
    sides = prepare_sides(name, rtl, netlist, library, work, kept, {"gold": ()})
    commands = [f"read_json {write_side(side, module, work)}" for side, module in sides.items()]
    commands += ["equiv_make gold gate equiv", "hierarchy -top equiv"]
    commands += ["equiv_simple", "equiv_induct -seq 2", "equiv_status"]
    return read_status(name, run_yosys(commands, work, limit_s))


def read_status(name: str, log: str) -> EquivalenceResult:
    """Result from the log of `equiv_status`.

    Raises:
        SynthesisError: the log has none, or nothing was compared.
    """
    found = re.search(r"Found (\d+) \$equiv cells in equiv:\s+Of those cells (\d+) are proven and (\d+) are", log)
    if found is None or int(found.group(1)) == 0:
        raise SynthesisError(f"nothing was compared for {name}: see yosys.log")
    pairs, _, unproven = map(int, found.groups())
    first = re.search(r"Unproven \$equiv \S+: (.+)", log[found.end() :])
    return EquivalenceResult(name, unproven == 0, pairs, unproven, first.group(1).strip() if first else "")
