"""Proves mapped modules with multipliers equal to their RTL, in two steps.

Mapping turns a multiplication into Booth recoding, which has no net in common with the RTL but inputs and outputs,
and a miter of the two is beyond satisfiability solvers from a few multipliers on. So the RTL is recoded in the same
way first (Yosys' `booth`), and each step shown by itself:

1. A recoded multiplier gives the product. Every shape of multiplier in the module is evaluated for all pairs of
   operands and compared with the product of the integers.
2. The recoded RTL is the netlist. Registers become inputs (contents) and outputs (next contents) under the names they
   share, and ABC's `cec` compares all outputs for all inputs.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fineq_asic.equivalence.modules import EquivalenceResult
from fineq_asic.equivalence.sides import YosysModule, prepare_sides, write_side
from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import Library
from fineq_asic.mapping.yosys import run_yosys
from fineq_asic.netlist.netlist import Netlist

RECODING = ("booth", "opt_clean")
"""What the mapping does to multipliers before anything else."""

_MAX_OPERAND_BITS = 24
"""Operands of a multiplier, both together, up to which all pairs are evaluated."""

Shape = tuple[int, int, int, bool]
"""Bits of the operands and of the product, and whether all are signed."""


def prove_with_multipliers(
    name: str,
    rtl: Sequence[Path],
    netlist: Netlist,
    library: Library,
    work: Path,
    kept: Sequence[str] = (),
    limit_s: float = 600,
) -> EquivalenceResult:
    """As `equivalence.prove_module`, for a module that multiplies; `pairs` of the verdict counts compared outputs.

    Raises:
        SynthesisError: a tool fails, or a multiplier is too wide to be evaluated for all operands.
        TimeoutError: not decided within the limit.
    """
    work = work.resolve()
    modules = prepare_sides(name, rtl, netlist, library, work, kept, {"plain": (), "gold": RECODING})
    for shape in multiplier_shapes(modules.pop("plain")):
        wrong = wrong_products(shape, work / "multiplier")
        if wrong:
            return EquivalenceResult(name, False, 0, wrong, f"recoded multiplier of {shape[0]} by {shape[1]} bits")
    ports = {}
    for side, module in modules.items():
        turn_out_registers(module)
        ports[side] = {port: value["direction"] for port, value in module["ports"].items()}
        source = write_side(side, module, work)
        commands = [f"read_json {source}", f"hierarchy -top {side}", "techmap", "opt_clean -purge", "aigmap"]
        run_yosys([*commands, f"write_blif {work / side}.blif"], work)
    outputs = sum(direction == "output" for direction in ports["gold"].values())
    alone = sorted(ports["gold"].items() ^ ports["gate"].items())
    if alone:
        return EquivalenceResult(name, False, outputs, len(alone), alone[0][0])
    return read_cec(name, outputs, _cec(work, limit_s))


def turn_out_registers(module: YosysModule) -> None:
    """Turn the registers of a module as Yosys writes it in JSON into ports named after their nets, `|q` and `|d`."""
    names = {net["bits"][0]: name for name, net in module["netnames"].items() if len(net["bits"]) == 1}
    for cell in sorted(cell for cell, value in module["cells"].items() if value["type"] == "$dff"):
        pins = module["cells"].pop(cell)["connections"]
        for data, state in zip(pins["D"], pins["Q"], strict=True):
            module["ports"][f"{names[state]}|q"] = {"direction": "input", "bits": [state]}
            module["ports"][f"{names[state]}|d"] = {"direction": "output", "bits": [data]}
    module["netnames"] = {
        name: {"hide_name": 0, "bits": port["bits"], "attributes": {}} for name, port in module["ports"].items()
    }


def multiplier_shapes(module: YosysModule) -> list[Shape]:
    """Shapes of the multipliers in a module as Yosys writes it in JSON; operands without their extension."""
    found: set[Shape] = set()
    for cell in module["cells"].values():
        if cell["type"] == "$mul":
            signed = int(cell["parameters"]["A_SIGNED"], 2) == 1
            pins = cell["connections"]
            found.add((_own_bits(pins["A"], signed), _own_bits(pins["B"], signed), len(pins["Y"]), signed))
    return sorted(found)


def _own_bits(bits: Sequence[int | str], signed: bool) -> int:
    """Bits of an operand without those that extend it."""
    count = len(bits)
    while count > 1 and bits[count - 1] == (bits[count - 2] if signed else "0"):
        count -= 1
    return count


def wrong_products(shape: Shape, work: Path, recoding: Sequence[str] = RECODING) -> int:
    """For how many pairs of operands a recoded multiplier differs from the product of the integers.

    Raises:
        SynthesisError: there are too many pairs.
    """
    a_bits, b_bits, y_bits, signed = shape
    if a_bits + b_bits > _MAX_OPERAND_BITS:
        raise SynthesisError(
            f"a multiplier of {a_bits} by {b_bits} bits has too many operands to evaluate all: at most "
            f"{_MAX_OPERAND_BITS} bits together"
        )
    work.mkdir(parents=True, exist_ok=True)
    sign = "signed " if signed else ""
    text = f"module top(input {sign}[{a_bits - 1}:0] a, input {sign}[{b_bits - 1}:0] b, "
    text += f"output {sign}[{y_bits - 1}:0] y); assign y = a * b; endmodule\n"
    (work / "multiplier.v").write_text(text, encoding="utf-8")
    commands = [f"read_verilog {work / 'multiplier.v'}", "proc", *recoding, "techmap", "opt_clean", "aigmap"]
    run_yosys([*commands, f"write_json {work / 'multiplier.json'}"], work)
    module = json.loads((work / "multiplier.json").read_text(encoding="utf-8"))["modules"]["top"]
    pairs = np.arange(1 << (a_bits + b_bits), dtype=np.int64)
    operands = {"a": pairs & ((1 << a_bits) - 1), "b": pairs >> a_bits}
    found = evaluate(module, operands)["y"]
    if signed:
        for port, bits in (("a", a_bits), ("b", b_bits)):
            operands[port] -= (operands[port] >> (bits - 1)) << bits
    expected = (operands["a"] * operands["b"]) & ((1 << y_bits) - 1)
    return int(np.count_nonzero(found != expected))


def evaluate(module: YosysModule, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of a module of AND and NOT gates, as Yosys writes it in JSON, for integers at its inputs."""
    nets: dict[int | str, np.ndarray | bool] = {"0": False, "1": True, "x": False}
    for name, values in inputs.items():
        nets |= {bit: (values >> i & 1).astype(bool) for i, bit in enumerate(module["ports"][name]["bits"])}
    waiting = [(cell["type"], cell["connections"]) for cell in module["cells"].values()]
    while waiting:
        blocked = []
        for kind, pins in waiting:
            sources = [pins[pin][0] for pin in ("A", "B") if pin in pins]
            if any(source not in nets for source in sources):
                blocked.append((kind, pins))
            elif kind == "$_NOT_":
                nets[pins["Y"][0]] = np.logical_not(nets[sources[0]])
            elif kind == "$_AND_":
                nets[pins["Y"][0]] = np.logical_and(nets[sources[0]], nets[sources[1]])
            else:
                raise SynthesisError(f"{kind} is not a gate that can be evaluated here")
        if len(blocked) == len(waiting):
            raise SynthesisError("a multiplier has a loop of gates")
        waiting = blocked
    outputs = {name: port["bits"] for name, port in module["ports"].items() if port["direction"] == "output"}
    weighted = {name: [np.int64(1 << i) * nets[bit] for i, bit in enumerate(bits)] for name, bits in outputs.items()}
    return {name: np.asarray(sum(terms, start=np.int64(0))) for name, terms in weighted.items()}


def _cec(work: Path, limit_s: float) -> str:
    package = find_spec("pyosys")
    program = Path(package.origin).parent / "yosys-abc" if package and package.origin else None
    if program is None or not program.is_file():
        raise SynthesisError("yosys-abc is missing: install pyosys with pip install 'fineq[hw]'")
    command = f"cec -T {limit_s:g} {work / 'gold.blif'} {work / 'gate.blif'}"
    result = subprocess.run([program, "-c", command], capture_output=True, text=True, cwd=work, check=False)
    (work / "cec.log").write_text(result.stdout + result.stderr, encoding="utf-8")
    return result.stdout


def read_cec(name: str, outputs: int, log: str) -> EquivalenceResult:
    """Result from the log of `cec`.

    Raises:
        SynthesisError: the log has none.
        TimeoutError: not decided.
    """
    if re.search(r"^Networks are equivalent", log, re.MULTILINE):
        return EquivalenceResult(name, True, outputs, 0)
    if re.search(r"^Networks are NOT EQUIVALENT", log, re.MULTILINE):
        first = re.search(r"Output (\S+): Value in Network1", log)
        return EquivalenceResult(name, False, outputs, 1, first.group(1).removesuffix(":") if first else "")
    if re.search(r"^Networks are UNDECIDED", log, re.MULTILINE):
        raise TimeoutError("cec has not decided within the limit")
    raise SynthesisError(f"nothing was compared for {name}: see cec.log")
