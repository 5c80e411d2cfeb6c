"""Processing element: every activation with every select."""

from __future__ import annotations

import cocotb
from cocotb.triggers import RisingEdge

from fineq_sim.testbench import parameters, random_source, reset, settle, start_clock


class TB:
    def __init__(self, dut):
        self.dut = dut
        self.bits = len(dut.activation)
        self.mask = (1 << self.bits) - 1
        self.by_column = parameters()["config"]["sign_handling"] == "column"
        self.lines = [dut.positive, dut.negative] if self.by_column else [dut.pulse]
        for port in (dut.load, dut.activation, *self.lines):
            port.value = 0
        start_clock(dut)

    @property
    def selects(self) -> list[tuple[int, ...]]:
        return [(0, 0), (1, 0), (0, 1)] if self.by_column else [(0,), (1,)]

    def expected(self, activation: int, select: tuple[int, ...]) -> int:
        """The complement of what the select lines choose (see the module's docstring)."""
        offset = 1 << (self.bits - 1)
        if self.by_column:
            chosen = {(0, 0): 0, (1, 0): activation + offset, (0, 1): offset - 1 - activation}[select]
        else:
            chosen = activation if select == (1,) else 0
        return ~chosen & self.mask

    async def load(self, activation: int) -> None:
        self.dut.activation.value = activation & self.mask
        self.dut.load.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.load.value = 0

    async def check(self, activation: int) -> None:
        for select in self.selects:
            for line, value in zip(self.lines, select, strict=True):
                line.value = value
            await settle()
            got = int(self.dut.product_n.value)
            assert got == self.expected(activation, select), f"activation {activation}, select {select}: {got}"


@cocotb.test()
async def every_activation_and_select(dut):
    tb = TB(dut)
    await reset(dut)
    half = 1 << (tb.bits - 1)
    for activation in range(-half, half):
        await tb.load(activation)
        await tb.check(activation)


@cocotb.test()
async def keeps_its_activation(dut):
    """Only `load` changes the register, whatever stands on the activation port."""
    tb = TB(dut)
    source = random_source("keep")
    await reset(dut)
    half = 1 << (tb.bits - 1)
    for _ in range(50):
        kept = source.randrange(-half, half)
        await tb.load(kept)
        for _ in range(2):
            dut.activation.value = source.randrange(1 << tb.bits)
            await RisingEdge(dut.clk)
            await tb.check(kept)
