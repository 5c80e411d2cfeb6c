"""The SoC as one thing with the pins of a board, for the top that boards have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, ClockSignal, Elaboratable, Instance, Module, ResetSignal, Signal

from fineq_sim.runs.runner import VerilogDesign
from fineq_system.soc.design import LIGHTS, TOP, SocDesign

START_CYCLES = 63
"""Cycles of reset after configuration: LiteX's processor has registers without initial values."""


def project_files(soc: SocDesign, verilog: VerilogDesign, rom: str) -> dict[str, str]:
    """What the project of a board takes in: Verilog and contents of memories by name.

    Args:
        soc: from LiteX, for a board.
        verilog: the same with the accelerator.
        rom: contents of the ROM, from `fineq_system.soc.firmware.build_firmware`.
    """
    return dict(verilog.sources) | soc.data | {soc.contents: rom}


class SocMachine(Elaboratable):
    """A SoC with a UART and lights, its reset at power-up made here.

    Args:
        files: Verilog and contents of memories by name, which go into the project of the board.

    Attributes:
        rx, tx: the UART.
        passed, failed: the firmware's verdict.
        active: something is sent.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files
        self.rx, self.tx = Signal(init=1), Signal(init=1)
        self.passed, self.failed, self.active = Signal(), Signal(), Signal()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for name, text in self.files.items():
            platform.add_file(name, text)
        waited = Signal(range(START_CYCLES + 1))
        with m.If(waited != START_CYCLES):
            m.d.sync += waited.eq(waited + 1)
        m.submodules.soc = Instance(
            TOP,
            i_sys_clk=ClockSignal(),
            i_sys_rst=(waited != START_CYCLES) | ResetSignal(allow_reset_less=True),
            i_sim_trace=0,
            i_serial_rx=self.rx,
            o_serial_tx=self.tx,
            o_lights=Cat(getattr(self, name) for name in LIGHTS),
        )
        m.d.comb += self.active.eq(~self.tx)
        return m
