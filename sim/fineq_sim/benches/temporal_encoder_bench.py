"""Temporal encoder: every weight, every count, with and without termination."""

from __future__ import annotations

import cocotb
from cocotb.triggers import RisingEdge

from fineq.format import MAX_MAGNITUDE, OUTLIER_BITS
from fineq_sim.reference import from_sign_magnitude
from fineq_sim.testbench import parameters, random_source, reset, settle, start_clock


class TB:
    def __init__(self, dut):
        self.dut = dut
        self.by_column = parameters()["config"]["sign_handling"] == "column"
        dut.load.value = 0
        dut.count.value = 0
        dut.terminate.value = 0
        dut.weight.value = 0
        start_clock(dut)

    async def load(self, field: int) -> None:
        self.dut.weight.value = field
        self.dut.load.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.load.value = 0

    async def step(self, count: int, terminate: bool) -> tuple[int, bool]:
        """Pulse (-1, 0, 1) in this cycle, and whether the sign line says minus."""
        self.dut.count.value = count
        self.dut.terminate.value = int(terminate)
        await settle()
        if self.by_column:
            positive, negative = int(self.dut.positive.value), int(self.dut.negative.value)
            assert not (positive and negative), "both pulse lines are high"
            return positive - negative, bool(negative)
        pulse, negative = int(self.dut.pulse.value), bool(self.dut.sign.value)
        return (-pulse if negative else pulse), negative


@cocotb.test()
async def every_weight_count_and_termination(dut):
    tb = TB(dut)
    await reset(dut)
    for field in range(1 << OUTLIER_BITS):
        weight = from_sign_magnitude(field, OUTLIER_BITS)
        await tb.load(field)
        total = 0
        for count in range(MAX_MAGNITUDE):
            for terminate in (False, True):
                pulse, negative = await tb.step(count, terminate)
                expected = 0 if terminate or count >= abs(weight) else (-1 if weight < 0 else 1)
                assert pulse == expected, f"weight {weight}, count {count}, terminate {terminate}"
                assert not pulse or negative == (weight < 0)
                total += pulse
        assert total == weight, f"the pulses of weight {weight} add up to {total}"


@cocotb.test()
async def keeps_its_value(dut):
    """Only `load` changes the register, whatever stands on the weight port."""
    tb = TB(dut)
    source = random_source("keep")
    await reset(dut)
    for _ in range(50):
        field = source.randrange(1 << OUTLIER_BITS)
        await tb.load(field)
        for _ in range(3):
            dut.weight.value = source.randrange(1 << OUTLIER_BITS)
            await RisingEdge(dut.clk)
            total = sum([(await tb.step(count, False))[0] for count in range(MAX_MAGNITUDE)])
            assert total == from_sign_magnitude(field, OUTLIER_BITS)
