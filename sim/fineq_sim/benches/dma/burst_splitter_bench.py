"""The burst splitter by itself: addresses with any bit set, many rows, wide rows, every burst against the rules."""

from __future__ import annotations

import cocotb

from fineq_hw.config import ALIGNMENT, AcceleratorConfig
from fineq_hw.dma.burst_splitter import burst_layout
from fineq_hw.interface.bus import PAGE_BYTES
from fineq_sim.bench.axi_memory import Transfer
from fineq_sim.bench.bench import Bench


class BurstSplitterBench(Bench[AcceleratorConfig]):
    """Commands in, bursts out."""

    def __init__(self, dut, stall: float = 0.0) -> None:
        super().__init__(dut, stall, "burst splitter")
        self.commands, self.bursts = self.producer("commands"), self.consumer("bursts")

    async def check(self, transfers: list[Transfer]) -> None:
        """The bursts of transfers, their marks, and rest at the end."""
        self.commands.send([transfer.payload(self.config) for transfer in transfers])
        layout = burst_layout(self.config)
        for transfer in transfers:
            expected = transfer.bursts(self.config)
            got = [layout.from_bits(bits) for bits in await self.bursts.receive(len(expected), within=100_000)]
            assert [(burst.address, burst.length + 1) for burst in got] == expected, f"bursts of {transfer}"
            width = self.config.bus_bytes
            ends = [address + width for address, row_last, _ in transfer.words(self.config) if row_last]
            last = [burst.address + (burst.length + 1) * width in ends for burst in got]
            assert [bool(burst.row_last) for burst in got] == last, f"ends of rows of {transfer}"
            assert [bool(burst.last) for burst in got] == [False] * (len(got) - 1) + [True]
        await self.clock(4)
        assert not self.read("busy")

    def transfer(self, row_bytes: int, rows: int, gap: int) -> Transfer:
        """Anywhere in the address space, rows so far apart or a little more."""
        width = self.config.bus_bytes
        stride = -(-(row_bytes + gap) // width) * width
        extent = stride * rows
        room = (1 << self.config.address_bits) - extent
        address = self.source.randrange(room // ALIGNMENT) * ALIGNMENT // width * width
        return Transfer(address, row_bytes, rows, stride)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def any_address(dut, stall):
    """One behind the other, without a cycle between where nobody waits."""
    tb = await BurstSplitterBench.begun(dut, stall)
    source = tb.source
    await tb.check(
        [
            tb.transfer(source.randint(1, 700), source.randint(1, 6), source.randrange(1 << source.randrange(20)))
            for _ in range(60)
        ]
    )
    await tb.finish()


@cocotb.test()
async def nothing_to_move(dut):
    """No rows, or rows without bytes: no burst, and the next command is on turn."""
    tb = await BurstSplitterBench.begun(dut)
    for empty in (Transfer(PAGE_BYTES, 0, 3, 64), Transfer(PAGE_BYTES, 64, 0, 64)):
        tb.commands.send([empty.payload(tb.config)])
        await tb.clock(8)
        assert not tb.read("busy")
        await tb.check([tb.transfer(20, 2, 0)])
    await tb.finish()


@cocotb.test()
async def every_bit_of_a_size(dut):
    """Rows and bytes of a row with each bit set, up to thousands of bursts."""
    tb = await BurstSplitterBench.begun(dut)
    transfers = [tb.transfer(8, (1 << bit) + 1, tb.source.randrange(PAGE_BYTES)) for bit in range(12)]
    transfers += [tb.transfer((1 << bit) + 1, 2, 0) for bit in range(15)]
    await tb.check(transfers)
    await tb.finish()


@cocotb.test()
async def a_reset_forgets(dut):
    """In the middle of a transfer; the next one is right from its first burst."""
    tb = await BurstSplitterBench.begun(dut)
    for cycles in range(1, 12):
        tb.commands.send([tb.transfer(300, 50, 0).payload(tb.config)])
        await tb.clock(cycles)
        await tb.reset()
        assert not tb.read("busy") and not tb.read("bursts__valid")
        await tb.check([tb.transfer(100, 3, 8)])
    await tb.finish()
