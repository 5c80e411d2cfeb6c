"""The SoC under Verilator: built once for a configuration, whatever the firmware; the ROM is read at the start."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fineq.common.errors import CheckFailed
from fineq_sim.driver.verilated import simulated
from fineq_sim.runs.duts import accelerator_design
from fineq_sim.runs.runner import VerilogDesign
from fineq_sim.runs.verilated_program import build_program
from fineq_system.soc.design import TOP, SocDesign, SocSettings, soc_design

CODE_FILES = ("harness.cpp",)

CYCLES = 50_000_000
"""After so many a simulation is given up."""


def make_soc(settings: SocSettings, work: Path, cache: Path | None = None) -> tuple[SocDesign, VerilogDesign]:
    """The SoC of LiteX, and the same with the accelerator's Verilog; adder trees are behavioural.

    Args:
        settings: what it is made of.
        work: directory for what LiteX writes.
        cache: of kept Verilog.
    """
    settings = replace(settings, accelerator=simulated(settings.accelerator))
    accelerator = accelerator_design(settings.accelerator, cache)
    soc = soc_design(settings, accelerator.top, work)
    sources = dict(accelerator.sources) | soc.sources
    return soc, VerilogDesign(TOP, sources, accelerator.manifest, {})


def build_soc(design: VerilogDesign, cache: Path | None = None) -> Path:
    """Verilate the SoC, or find it built.

    Raises:
        SimulatorError: Verilator is missing or refuses.
    """
    return build_program(TOP, design, Path(__file__).with_name(*CODE_FILES), cache)


def run_soc(program: Path, soc: SocDesign, rom: Path, say: Callable[[str], None], cycles: int = CYCLES) -> None:
    """Run firmware; its lines go to `say` as they come.

    Args:
        program: from `build_soc`.
        soc: the design of it.
        rom: contents of the ROM, from `build_firmware`.
        say: takes a line.
        cycles: after which the run is given up.

    Raises:
        CheckFailed: the firmware says so, or does not end.
    """
    place = rom.with_name(soc.contents)
    place.write_bytes(rom.read_bytes())
    for name, text in soc.data.items():
        rom.with_name(name).write_text(text)
    with subprocess.Popen([program, str(cycles)], cwd=rom.parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            say(line.rstrip("\n"))
    if process.returncode:
        raise CheckFailed("the firmware found a fault, or did not come to an end: its last lines say more")
