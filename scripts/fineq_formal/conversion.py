"""A proof's circuit in the formats of the provers: AIGER for ABC, SMT-LIB for solvers."""

from __future__ import annotations

import re
from pathlib import Path

from amaranth.back import rtlil

from fineq.common.files import write_text
from fineq_asic.mapping.yosys import run_yosys
from fineq_formal.proof import Proof
from fineq_formal.setup import ANY_CONSTANT, CLOCK, RESET, Setup

_CHECK = re.compile(r'^(\s*cell \$check )\$\d+\n(\s*parameter \\FORMAT "([^"\n]*)"\n)', re.MULTILINE)

_PREPARE = [
    "read_rtlil proof.il",
    rf"chtype -set {ANY_CONSTANT} t:\{ANY_CONSTANT}",
    "hierarchy -check -top top",
    "delete t:$meminit*",
    "proc -norom",
    "flatten",
    "chformal -lower",
    "memory_nordff",
    "memory_map",
    # One cycle of reset from an unknown state: what a register then has, whatever it held, is where the proof begins.
    "setattr -unset init w:*",
    f"sim -q -clock {CLOCK} -reset {RESET} -rstlen 1 -n 1 -w top",
    f"delete -port top/i:{RESET}",
    f"connect -nounset -set {RESET} 1'0",
    "opt_clean",
    "async2sync",
    "opt -fast",
    "dffunmap",
    "setundef -undriven -anyseq",  # what a memory gives for addresses that it does not have
    "check -assert",
]

_WRITE = {
    "smt2": ["write_smt2 -wires proof.smt2"],
    "aig": [
        "formalff -clk2ff -ff2anyinit -hierarchy -assume",
        "opt -fast",
        "techmap",
        "opt -fast",
        "aigmap",
        "opt_clean",
        "write_aiger -I -B -zinit -no-startoffset -map proof.aim proof.aig",
    ],
}


def proof_rtlil(proof: Proof) -> tuple[str, list[str]]:
    """The circuit of a proof, in which every check is called after its rule and a number, and the rules."""
    setup = Setup()
    proof.build(setup)
    return setup_rtlil(setup), setup.rules


def setup_rtlil(setup: Setup) -> str:
    """The circuit of what has been set up; the top is called `top`."""
    text = rtlil.convert(setup.m, name="top", ports=setup.ports, emit_src=False)
    numbers = iter(range(len(text)))
    return _CHECK.sub(lambda match: rf"{match[1]}\{rule_cell(match[3])}_{next(numbers)}" + "\n" + match[2], text)


def rule_cell(rule: str) -> str:
    """A rule as the name of a cell."""
    return re.sub(r"[^A-Za-z0-9]+", "_", rule).strip("_")


def write_model(rtlil_text: str, kind: str, work: Path) -> Path:
    """Write `proof.aig` or `proof.smt2`.

    Args:
        rtlil_text: as `proof_rtlil` gives it.
        kind: `aig` or `smt2`.
        work: an existing directory.

    Raises:
        SynthesisError: Yosys is missing or fails.
    """
    write_text(work / "proof.il", rtlil_text)
    run_yosys([*_PREPARE, *_WRITE[kind]], work)
    return work / f"proof.{kind}"
