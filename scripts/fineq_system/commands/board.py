"""`fineq board`: the accelerator on FPGA boards."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed, FineqError

ACTIONS = ("list", "build", "load", "run", "selftest")


def board(
    action: Annotated[str, typer.Argument(help="list, build, load, run or selftest.")],
    name: Annotated[str | None, typer.Argument(help="Board, one of those that `list` shows.")] = None,
    config: Annotated[str | None, typer.Option(help="Array or accelerator; the board's own if left out.")] = None,
    port: Annotated[str, typer.Option(help="Serial port of the board.")] = "/dev/ttyUSB0",
    channels: Annotated[int, typer.Option(min=1, help="run: output channels of the layer.")] = 24,
    inner: Annotated[int, typer.Option(min=1, help="run: inputs of the layer.")] = 72,
    tokens: Annotated[int, typer.Option(min=1, help="run: tokens.")] = 8,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the layer.")] = 0,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Directory; default build/board-NAME.")] = None,
) -> None:
    """Build a bitstream by the open tools (or a vendor's project), load it, run a layer over the serial line.

    build puts a self-test into the bitstream: vectors from block RAM, the verdict on the lights. selftest asks for it.
    Nothing of this project has been run on a physical board: docs/hardware/boards.md.
    """
    from fineq_system.boards.build import array_of, bitstream, build, linked_design, write_project
    from fineq_system.boards.definitions import BOARDS, find_board, machine_of

    if action not in ACTIONS:
        raise FineqError(f"unknown action {action!r}: choose one of {', '.join(ACTIONS)}")
    if action == "list":
        for known, each in BOARDS.items():
            array = array_of(each.machine)
            what = "accelerator" if each.memory_bytes else "core"
            tools = "open tools" if each.open_tools else "vendor's project"
            size = f"{array.rows} x {array.columns}"
            typer.echo(f"{known:14} {each.text:24} {what:12} {size:8} {each.clock / 1e6:g} MHz  {tools}")
        return
    if name is None:
        raise FineqError(f"name the board: one of {', '.join(BOARDS)}")
    chosen = find_board(name)
    machine = machine_of(chosen, config)
    place = output or Path("build") / f"board-{name}"
    if action == "build":
        from fineq_sim.link.selftest import selftest_script

        begun = time.monotonic()
        script = selftest_script(machine)
        if not chosen.open_tools:
            write_project(chosen, linked_design(chosen, machine, script), place)
            typer.echo(f"{chosen.text}: the vendor's project is in {place}; run its build script where the tool is")
            return
        found = build(chosen, machine, script, place)
        typer.echo(
            f"{chosen.text}: {bitstream(chosen, place)} after {time.monotonic() - begun:.0f} s; "
            f"LUTs {found.luts} of {found.luts_of}, flip-flops {found.flops} of {found.flops_of}, "
            f"block RAMs {found.brams} of {found.brams_of}, DSPs {found.dsps} of {found.dsps_of}, "
            f"{found.fmax:.1f} MHz of {chosen.clock / 1e6:g} needed"
        )
    elif action == "load":
        from fineq_system.boards.loading import load

        load(name, chosen, bitstream(chosen, place))
    else:
        from fineq_system.boards.runs import check_selftest, run_layer
        from fineq_system.boards.serial_line import open_machine

        driver = open_machine(chosen, machine, port)
        if action == "selftest":
            check_selftest(driver.transport.port)  # type: ignore[attr-defined]
            typer.echo("the self-test passed")
        outcome = run_layer(driver, channels, inner, tokens, seed)
        typer.echo(f"{outcome.right} of {outcome.total} sums right in {outcome.seconds:.1f} s")
        typer.echo(f"{outcome.repeats} requests were sent again")
        if outcome.right != outcome.total:
            raise CheckFailed("the board gives wrong sums: see above")
