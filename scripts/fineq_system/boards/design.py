"""What a board holds: a machine behind the board's UART, its verdict on the lights."""

from __future__ import annotations

from typing import Any

from amaranth.build import ResourceError
from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Instance, Module, ResetSignal, Signal
from amaranth.lib import io

from fineq_system.boards.definitions import Board


class BoardDesign(Elaboratable):
    """The top of a board.

    Args:
        board: which.
        machine: what is on it: something with the lines `rx` and `tx` of a UART and lights `passed`, `failed` and
            `active`, such as `fineq_hw.link.machines.linked_machine`.
    """

    def __init__(self, board: Board, machine: Any) -> None:
        self.board, self.machine = board, machine

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        board = self.board
        if round(platform.default_clk_frequency) != board.clock:
            self._divide_clock(m, platform)
        m.submodules.machine = machine = self.machine
        uart = platform.request("uart", 0, dir="-")
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.d.comb += [machine.rx.eq(rx.i), tx.o.eq(machine.tx)]
        for (resource, number), name in zip(board.leds, ("passed", "failed", "active"), strict=True):
            try:
                light = io.Buffer("o", platform.request(resource, number, dir="-"))
            except ResourceError:  # it is on a part that breaks off
                continue
            m.submodules[f"{name}_light"] = light
            m.d.comb += light.o.eq(getattr(machine, name))
        return m

    def _divide_clock(self, m: Module, platform: Any) -> None:
        """A PLL of 7-series FPGAs: the board's clock times ten, divided."""
        board = self.board
        m.domains += ClockDomain("sync")
        m.submodules.clock = clock = io.Buffer("i", platform.request(platform.default_clk, dir="-"))
        wide = platform.default_clk_frequency * 10
        feedback, made, locked = Signal(), Signal(), Signal()
        m.submodules.pll = Instance(
            "MMCME2_BASE",
            p_CLKIN1_PERIOD=1e9 / platform.default_clk_frequency,
            p_CLKFBOUT_MULT_F=10.0,
            p_CLKOUT0_DIVIDE_F=float(wide / board.clock),
            i_CLKIN1=clock.i,
            i_CLKFBIN=feedback,
            i_RST=0,
            i_PWRDWN=0,
            o_CLKFBOUT=feedback,
            o_CLKOUT0=made,
            o_LOCKED=locked,
        )
        m.submodules.buffer = Instance("BUFG", i_I=made, o_O=ClockSignal("sync"))
        platform.add_clock_constraint(made, board.clock)
        m.d.comb += ResetSignal("sync").eq(~locked)
