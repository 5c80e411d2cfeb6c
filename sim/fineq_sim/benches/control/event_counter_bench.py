"""A counter of two halves against a sum: random events, clears next to each other and next to carries."""

from __future__ import annotations

import cocotb

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.registers import WORD_BITS
from fineq_sim.bench.bench import Bench

CYCLES = 600


class EventCounterBench(Bench[AcceleratorConfig]):
    """Both halves in every cycle; `high` is a cycle behind.

    Attributes:
        low: expected.
        before: what `high` must show: the high half of the cycle before.
    """

    inputs = ("event", "clear")

    def __init__(self, dut) -> None:
        super().__init__(dut, salt="event counter")
        self.low = self.before = 0

    async def cycle(self, event: int, clear: int = 0, reset: int = 0) -> None:
        self.drive(event=event, clear=clear, rst=reset)
        await self.clock()
        total = self.low + event
        self.before = 0 if reset else self.before
        self.low = 0 if clear or reset else total
        assert total >> WORD_BITS == 0, "the model has no carry: too many cycles"
        assert await self.read_settled("low") == self.low
        assert self.read("high") == self.before


@cocotb.test()
async def counts(dut):
    tb = await EventCounterBench.begun(dut)
    for _ in range(CYCLES):
        await tb.cycle(tb.source.getrandbits(len(dut.event)))


@cocotb.test()
async def starts_again(dut):
    """Cleared or reset while events come, in neighbouring cycles too."""
    tb = await EventCounterBench.begun(dut)
    for _ in range(CYCLES):
        event = tb.source.getrandbits(len(dut.event))
        await tb.cycle(event, int(tb.source.random() < 0.1), int(tb.source.random() < 0.02))
