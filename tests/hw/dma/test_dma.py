"""The DMA engines in Amaranth's simulator: a quick look without a build.

The thorough benches are fineq_sim/benches/dma/{read_dma,write_dma}_bench.py.
"""

from __future__ import annotations

import gc

import pytest
from helpers.hardware.hardware_simulation import simulate

from fineq_hw.config import ACCELERATORS
from fineq_hw.dma.burst_splitter import BurstSplitter
from fineq_hw.dma.read_dma import ReadDma
from fineq_hw.lib.hierarchy import flat_ports


def test_bursts_of_the_largest_row():
    """Counters hold a row of 2^24 - 1 bytes: rounded up to whole words."""
    config = ACCELERATORS["accelerator_5x7"]
    splitter = BurstSplitter(config)

    async def bench(ctx):
        ctx.set(splitter.commands.payload, {"address": 0, "row_bytes": (1 << 24) - 1, "rows": 1, "stride": 0})
        ctx.set(splitter.commands.valid, 1)
        await ctx.tick()
        ctx.set(splitter.commands.valid, 0)
        ctx.set(splitter.bursts.ready, 1)
        await ctx.tick()
        for number in range(1000):
            _, _, burst = await ctx.tick().sample(splitter.bursts.payload)
            assert (burst.address, burst.length, burst.last) == (number * 32, 3, 0)
        assert ctx.get(splitter.busy)

    simulate(splitter, bench)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_ports_of_the_read_engine_have_their_usual_names():
    names = [name for name, _, _ in flat_ports(ReadDma(ACCELERATORS["accelerator_16x16"]))]
    assert {"m_axi_araddr", "m_axi_rready", "commands_3__payload", "words_0__valid"} <= set(names)
    gc.collect()


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_a_read_engine_has_a_client():
    with pytest.raises(ValueError) as error:
        ReadDma(ACCELERATORS["accelerator_5x7"], 0)
    assert str(error.value) == "channels is 0: a read engine has at least one client"
    del error
    gc.collect()
