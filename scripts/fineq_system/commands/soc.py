"""`fineq soc`: a RISC-V system around the accelerator."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import FineqError

ACTIONS = ("sim", "write")


def soc(
    action: Annotated[str, typer.Argument(help="sim: build, run the firmware, check. write: sources alone.")],
    config: Annotated[str, typer.Option(help="Accelerator, by its name (`fineq verilog --list`).")] = "accelerator_5x7",
    cpu: Annotated[
        str, typer.Option(help="VexRiscv: standard (4 KiB data cache) or minimal (no caches).")
    ] = "standard",
    memory: Annotated[str, typer.Option(help="sdram: LiteDRAM and its model of a chip; ram: block RAM.")] = "sdram",
    rows: Annotated[int, typer.Option(min=1, help="Output channels of the layer.")] = 40,
    inner: Annotated[int, typer.Option(min=1, help="Inputs of the layer.")] = 100,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens.")] = 12,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the random layer.")] = 0,
    cycles: Annotated[int, typer.Option(min=1, help="Give up after so many cycles.")] = 50_000_000,
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory for sources and firmware.")] = Path(
        "build/soc"
    ),
) -> None:
    """A SoC of LiteX with the accelerator as a bus master: firmware in C runs a layer and a chain and checks them."""
    from fineq.common.files import write_text
    from fineq_sim.driver.transport import find_accelerator
    from fineq_system.soc.design import SocSettings
    from fineq_system.soc.firmware import build_firmware, find_compiler, vector_headers
    from fineq_system.soc.simulation import build_soc, make_soc, run_soc
    from fineq_system.soc.workload import random_layer

    if action not in ACTIONS:
        raise FineqError(f"unknown action {action!r}: choose one of {', '.join(ACTIONS)}")
    settings = SocSettings(find_accelerator(config), cpu, memory)
    find_compiler()
    begun = time.monotonic()

    def step(text: str) -> None:
        nonlocal begun
        now = time.monotonic()
        typer.echo(f"{text}: {now - begun:.1f} s")
        begun = now

    design, verilog = make_soc(settings, output / "litex")
    for name, text in verilog.sources.items():
        write_text(output / "rtl" / name, text)
    step(f"{config}, VexRiscv {cpu}, {memory}: Verilog written to {output / 'rtl'}")
    headers = vector_headers(settings.accelerator, *random_layer(rows, inner, tokens, seed))
    rom = build_firmware(output / "firmware", headers, design.header, design.constants, cpu)
    step(f"firmware of {(output / 'firmware' / 'firmware.bin').stat().st_size} bytes compiled")
    if action == "write":
        return
    program = build_soc(verilog)
    step("verilated")
    run_soc(program, design, rom, lambda line: typer.echo(f"  {line}"), cycles)
    step("run")
