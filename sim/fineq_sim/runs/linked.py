"""Runs of machines behind a serial line, through their pins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from fineq_hw.config import ACCELERATORS, AcceleratorConfig, ArrayConfig
from fineq_hw.link.script import ScriptStep
from fineq_sim.runs.bench_run import VERILATOR_ALONE, BenchRun
from fineq_sim.runs.runner import VerilogDesign

DIVISOR = 6
"""Clock cycles of a bit: few, since a simulation pays for each."""

MEMORY_BYTES = 1 << 14

LINKED_CORE = ArrayConfig(rows=3, columns=8, sign_handling="column", adder_tree="behavioural")
"""A core as small boards have it."""


def linked_design(
    config: ArrayConfig | AcceleratorConfig,
    script: Sequence[ScriptStep] = (),
    cache: Path | None = None,
    *,
    initial_values: bool = True,
) -> VerilogDesign:
    """A core or an accelerator behind a serial line, as boards have it; made anew each time.

    Args:
        config: of the machine.
        script: of the self-test.
        cache: not used.
        initial_values: must be there, as in every FPGA.
    """
    from fineq_hw.export.conversion import convert
    from fineq_hw.link.machines import linked_machine

    texts, manifest = convert(
        {"dut_linked": linked_machine(config, DIVISOR, MEMORY_BYTES, script)}, initial_values=initial_values
    )
    return VerilogDesign("dut_linked", {f"{name}.v": text for name, text in texts.items()}, manifest, {})


def linked_run(
    name: str, config: ArrayConfig | AcceleratorConfig, script: Sequence[ScriptStep] = (), **options
) -> BenchRun:
    """A run through the pins; a self-test must pass before."""
    parameters = {"config": asdict(config), "divisor": DIVISOR, "selftest": bool(script)}
    make = partial(linked_design, config, script)
    return BenchRun(
        f"link/{name}", "link.linked_machine_bench", make, parameters, large=True, optimized=True, **options
    )


def linked_runs() -> list[BenchRun]:
    """A core and a machine."""
    return [
        linked_run("core_3x8", LINKED_CORE, simulators=VERILATOR_ALONE),
        linked_run("accelerator_5x7", ACCELERATORS["accelerator_5x7"], simulators=VERILATOR_ALONE),
    ]
