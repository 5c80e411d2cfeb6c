"""`fineq architecture`, `fineq registers`: pictures and pages of docs/hardware that are made from the machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import FineqError
from fineq.common.files import replacing, write_text

TOKENS, CHANNELS, INNER = 48, 64, 96
"""Layer of the timing diagram: three tiles of tokens and six of inputs on 16 x 16."""


def architecture(
    output: Annotated[Path, typer.Option(help="Directory for the pictures.")] = Path("build/architecture"),
    blocks: Annotated[str, typer.Option(help="Accelerator of the block diagram.")] = "accelerator_64x64",
    timing: Annotated[str, typer.Option(help="Accelerator of the timing diagram.")] = "accelerator_16x16",
) -> None:
    """Draw the block diagram and the timing diagram of docs/hardware/architecture.md."""
    from fineq_hw.accelerator import make_accelerator
    from fineq_hw.config import ACCELERATORS
    from fineq_hw.export.conversion import convert
    from fineq_reports.architecture import block_diagram, timing_diagram
    from fineq_sim.benches.machine import timing_bench
    from fineq_sim.runs.duts import accelerator_design
    from fineq_sim.runs.runner import run
    from fineq_sim.runs.simulators import SimulatorError

    for name in (blocks, timing):
        if name not in ACCELERATORS:
            raise FineqError(f"unknown accelerator {name!r}: choose one of {', '.join(ACCELERATORS)}")
    output.mkdir(parents=True, exist_ok=True)
    machine = make_accelerator(ACCELERATORS[blocks])
    converted = convert({blocks: machine})
    with replacing(output / "architecture-blocks.png") as file:
        block_diagram.draw(converted, machine, blocks, f"{blocks}: blocks and streams", file)
    config = ACCELERATORS[timing]
    parameters = {"config": asdict(config), "shape": [TOKENS, CHANNELS, INNER]}
    design = accelerator_design(config)
    result = run(
        "timing", design, timing_bench.__name__, "verilator", output / "run", parameters=parameters, waves=True
    )
    if not result.passed or not result.waves:
        reasons = [result.error, *(test.failure for test in result.tests)]
        raise SimulatorError(f"the recorded run failed: {next(filter(None, reasons), 'no waveform')}")
    busy = timing_diagram.stage_activity(result.waves[0], config)
    title = f"{timing}: {TOKENS} tokens, {CHANNELS} channels, {INNER} inputs, 32-bit sums"
    with replacing(output / "architecture-timing.png") as file:
        shares = timing_diagram.draw(busy, title, file)
    for stage, share in shares.items():
        print(f"{stage:15} busy {100 * share:5.1f} % of the cycles")
    print(f"pictures: {output}")


def registers(
    output: Annotated[Path, typer.Option(help="File to write.")] = Path("docs/hardware/registers.md"),
) -> None:
    """Write the register map, the descriptor format and the error codes as Markdown."""
    from fineq_reports.registers_page import document

    write_text(output, document())
