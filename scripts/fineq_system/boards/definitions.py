"""The boards: their platform of amaranth-boards, and what fits on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fineq.common.errors import FineqError
from fineq_hw.config import ACCELERATORS, ARRAYS, AcceleratorConfig, ArrayConfig


@dataclass(frozen=True)
class Board:
    """A board.

    Attributes:
        text: what it is, for lists.
        make_platform: gives the platform of amaranth-boards; raises ModuleNotFoundError where that is not installed.
        machine: what is built unless asked for something else.
        clock: Hz, of the machine; the board's own clock, or what a PLL makes of it.
        baud: of the serial line.
        memory_bytes: block RAM for an accelerator.
        leds: resource and number of the lights for passed, failed and active.
        family: `ice40`, `ecp5` or `xilinx`.
        luts: that the FPGA has.
        open_tools: a bitstream is made by the YoWASP tools; otherwise a project for the vendor's.
        programmer: program that loads a bitstream, and its Debian package.
    """

    text: str
    make_platform: Callable[[], Any]
    machine: ArrayConfig | AcceleratorConfig
    clock: int
    baud: int
    memory_bytes: int
    leds: tuple[tuple[str, int], tuple[str, int], tuple[str, int]]
    family: str
    luts: int
    open_tools: bool
    programmer: tuple[str, str]

    @property
    def divisor(self) -> int:
        """Clock cycles of a bit of the line."""
        return round(self.clock / self.baud)


def for_fpga(config: ArrayConfig) -> ArrayConfig:
    """An array as FPGAs want it: sums left to the carry chains, no latches, no gated clocks."""
    return replace(config, adder_tree="behavioural", activation_storage="gated-flop")


def _machine(name: str, **changes: Any) -> AcceleratorConfig:
    config = ACCELERATORS[name]
    assert isinstance(config.array, ArrayConfig)
    return replace(config, array=for_fpga(config.array), **changes)


def _icebreaker() -> Any:
    from amaranth_boards.icebreaker import ICEBreakerPlatform

    return ICEBreakerPlatform()


def _ulx3s() -> Any:
    from amaranth_boards.ulx3s import ULX3S_85F_Platform

    return ULX3S_85F_Platform()


def _arty_a7() -> Any:
    from amaranth_boards.arty_a7 import ArtyA7_100Platform

    return ArtyA7_100Platform()


BOARDS: Mapping[str, Board] = {
    "icebreaker": Board(
        "iCEBreaker, iCE40UP5K",
        _icebreaker,
        replace(for_fpga(ARRAYS["fineq_8x24"]), rows=4, columns=8, sign_handling="column"),
        12_000_000,
        1_000_000,
        0,
        (("led_g", 0), ("led_r", 0), ("led_g", 1)),
        "ice40",
        5280,
        True,
        ("iceprog", "fpga-icestorm"),
    ),
    "ulx3s-85f": Board(
        "ULX3S, ECP5 85F",
        _ulx3s,
        _machine("accelerator_16x16", address_bits=24),
        25_000_000,
        1_000_000,
        1 << 16,
        (("led", 0), ("led", 1), ("led", 2)),
        "ecp5",
        83640,
        True,
        ("openFPGALoader", "openfpgaloader"),
    ),
    "arty-a7-100": Board(
        "Arty A7, Artix-7 100T",
        _arty_a7,
        _machine("accelerator_16x16", address_bits=24),
        50_000_000,
        1_000_000,
        1 << 16,
        (("led", 0), ("led", 1), ("led", 2)),
        "xilinx",
        63400,
        False,
        ("openFPGALoader", "openfpgaloader"),
    ),
}
"""Boards by name."""


def find_board(name: str) -> Board:
    """A board by name.

    Raises:
        FineqError: there is none of that name.
    """
    if name not in BOARDS:
        raise FineqError(f"unknown board {name!r}: choose one of {', '.join(BOARDS)}")
    return BOARDS[name]


def machine_of(board: Board, config: str | None) -> ArrayConfig | AcceleratorConfig:
    """What to build: the board's own machine, or a named array or accelerator as FPGAs want it.

    Raises:
        FineqError: an unknown name, or a MAC array.
    """
    if config is None:
        return board.machine
    known: dict[str, Any] = {**ARRAYS, **ACCELERATORS}
    if config not in known:
        raise FineqError(f"unknown configuration {config!r}: choose one of {', '.join(known)}")
    found = known[config]
    array = found.array if isinstance(found, AcceleratorConfig) else found
    if not isinstance(array, ArrayConfig):
        raise FineqError(f"{config} has a MAC array, which no board carries: choose a temporal one")
    if not isinstance(found, AcceleratorConfig):
        return for_fpga(found)
    if not board.memory_bytes:
        raise FineqError(
            f"{board.text} has no room for a whole accelerator: choose an array, such as fineq_5x7, whose core the "
            "host feeds"
        )
    return replace(found, array=for_fpga(array), address_bits=24)
