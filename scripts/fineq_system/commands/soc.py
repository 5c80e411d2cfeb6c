"""`fineq soc`: a RISC-V system around the accelerator."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fineq.common.errors import FineqError

if TYPE_CHECKING:
    from fineq_system.boards.definitions import Board
    from fineq_system.soc.design import SocSettings

ACTIONS = ("sim", "write", "build")

_ACCELERATOR = "accelerator_5x7"
"""Of a simulation, unless another one is named."""


def soc(
    action: Annotated[
        str, typer.Argument(help="sim: build, run the firmware, check. write: sources alone. build: for a board.")
    ],
    name: Annotated[
        str | None, typer.Argument(help="Board (`fineq board list`); none: a simulation.", metavar="[BOARD]")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(help="Accelerator, by its name (`fineq verilog --list`); accelerator_5x7, or the board's own."),
    ] = None,
    cpu: Annotated[
        str, typer.Option(help="VexRiscv: standard (4 KiB data cache) or minimal (no caches).")
    ] = "standard",
    memory: Annotated[
        str | None,
        typer.Option(help="sdram: LiteDRAM and its model of a chip; ram: block RAM, which boards have alone."),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Output channels of the layer.")] = 40,
    inner: Annotated[int, typer.Option(min=1, help="Inputs of the layer.")] = 100,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens.")] = 12,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the random layer.")] = 0,
    cycles: Annotated[int, typer.Option(min=1, help="Give up after so many cycles.")] = 50_000_000,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Directory; default build/soc, or build/soc-BOARD.")
    ] = None,
) -> None:
    """A SoC of LiteX with the accelerator as a bus master: firmware in C runs a layer and a chain and checks them.

    With a board, write makes a project for its tools, and build has them make a bitstream where they are open. The
    firmware is in the ROM, its words go over the board's UART, its verdict to two lights.
    Nothing of this project has been run on a physical board: docs/hardware/boards.md.
    """
    from fineq.common.files import write_text
    from fineq_system.soc.design import check_packages
    from fineq_system.soc.firmware import build_firmware, find_compiler, vector_headers
    from fineq_system.soc.simulation import build_soc, make_soc, run_soc
    from fineq_system.soc.workload import random_layer

    if action not in ACTIONS:
        raise FineqError(f"unknown action {action!r}: choose one of {', '.join(ACTIONS)}")
    board = _board_for(action, name)
    settings = _settings(board, config, cpu, memory)
    find_compiler()
    check_packages()
    place = output or Path("build") / ("soc" if board is None else f"soc-{name}")
    environment: dict[str, str] = {}
    if board is not None and action == "build" and board.open_tools:
        from fineq_system.boards.tools import tool_environment

        environment = tool_environment(board.family, place)
    begun = time.monotonic()

    def step(text: str) -> None:
        nonlocal begun
        now = time.monotonic()
        typer.echo(f"{text}: {now - begun:.1f} s")
        begun = now

    design, verilog = make_soc(settings, place / "litex")
    for file, text in verilog.sources.items():
        write_text(place / "rtl" / file, text)
    array = settings.accelerator.array
    what = f"accelerator of {array.rows} x {array.columns}, VexRiscv {cpu}, {settings.memory}"
    step(f"{what}: Verilog written to {place / 'rtl'}")
    headers = vector_headers(settings.accelerator, *random_layer(rows, inner, tokens, seed))
    rom = build_firmware(place / "firmware", headers, design.header, design.constants, cpu)
    step(f"firmware of {(place / 'firmware' / 'firmware.bin').stat().st_size} bytes compiled")
    if board is not None:
        from fineq_system.boards.build import bitstream, make_bitstream, write_project
        from fineq_system.boards.design import BoardDesign
        from fineq_system.soc.machine import SocMachine, project_files

        project = place / "project"
        machine = SocMachine(project_files(design, verilog, rom.read_text(encoding="utf-8")))
        write_project(board, BoardDesign(board, machine), project)
        step(f"{board.text}: project written to {project}")
        if action == "build" and board.open_tools:
            too_large = (
                f"a SoC around an array of {array.rows} x {array.columns} does not fit {board.text}: name a smaller "
                f"one, such as --config {_ACCELERATOR}"
            )
            found = make_bitstream(board, environment, project, too_large)
            step(f"{bitstream(board, project)}: {found.luts} of {found.luts_of} LUTs, {found.fmax:.1f} MHz")
        elif action == "build":
            typer.echo("run its build script where the vendor's tool is")
        return
    if action == "write":
        return
    program = build_soc(verilog)
    step("verilated")
    run_soc(program, design, rom, lambda line: typer.echo(f"  {line}"), cycles)
    step("run")


def _board_for(action: str, name: str | None) -> Board | None:
    """The board that is named; a simulation has none, a build has one."""
    from fineq_system.boards.definitions import BOARDS, find_board

    with_room = ", ".join(known for known, board in BOARDS.items() if board.memory_bytes)
    if name is None:
        if action == "build":
            raise FineqError(f"name the board: one of {with_room}")
        return None
    if action == "sim":
        raise FineqError(f"a simulation has no board: leave {name} out")
    board = find_board(name)
    if not board.memory_bytes:
        raise FineqError(f"{board.text} has no room for a SoC: choose one of {with_room}")
    return board


def _settings(board: Board | None, config: str | None, cpu: str, memory: str | None) -> SocSettings:
    """What the SoC is made of."""
    from fineq_hw.config import AcceleratorConfig
    from fineq_sim.driver.transport import find_accelerator
    from fineq_system.boards.definitions import machine_of
    from fineq_system.soc.design import BOARD_ROM_BYTES, BUS_ADDRESS_BITS, Pins, SocSettings

    if board is None:
        return SocSettings(find_accelerator(config or _ACCELERATOR), cpu, memory or "sdram")
    machine = machine_of(board, config)
    if not isinstance(machine, AcceleratorConfig):
        raise FineqError(f"{config} is an array alone: a SoC takes an accelerator, such as {_ACCELERATOR}")
    machine = replace(machine, address_bits=BUS_ADDRESS_BITS)
    pins = Pins(board.clock, board.baud)
    return SocSettings(machine, cpu, memory or "ram", board.memory_bytes, BOARD_ROM_BYTES, pins)
