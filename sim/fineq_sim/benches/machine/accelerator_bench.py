"""The whole machine between cocotbext-axi models: random chains, the rules of both buses, counters against the pins.

What every transport of the driver must do (refusals, aborts, bus errors, memory left alone) is in `driver_bench`.
"""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.task import bridge

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.jobs import ActivationFunction
from fineq_sim.bench.axi_memory import AddressMonitor, ChannelMonitor
from fineq_sim.bench.bench import Bench
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.cocotb import CocotbTransport
from fineq_sim.driver.jobs import Job
from fineq_sim.driver.samples import expected, load
from fineq_sim.reference.random_layers import random_activations, random_codes

MEMORY = 1 << 18


class AcceleratorBench(Bench[AcceleratorConfig]):
    """The machine, its driver, and monitors on every channel of its memory port."""

    def __init__(self, dut, stall: float = 0.0) -> None:
        super().__init__(dut, stall, "accelerator")
        self.transport = CocotbTransport(dut, self.config, memory_size=MEMORY, stall=stall)
        self.rng = np.random.default_rng(self.source.getrandbits(32))

    async def begin(self) -> None:
        await self.transport.start()
        self.addresses = {channel: AddressMonitor(self.dut, channel, self.config) for channel in ("ar", "aw")}
        self.words_read = ChannelMonitor(self.dut, "r", ("last",))
        self.words_written = ChannelMonitor(self.dut, "w", ("strb", "last"))
        self.machine = await bridge(lambda: Accelerator(self.transport))()

    def random_job(self) -> tuple[Job, np.ndarray]:
        """A layer of up to two tiles in each direction, and its integers."""
        source, config = self.source, self.config
        tokens = source.choice((1, source.randint(1, 2 * config.array.rows)))
        channels = source.choice((source.randint(1, 5), source.randint(1, 2 * config.channels_per_tile)))
        inner = source.randint(1, config.array.columns * (config.line_slices + 1))
        codes = random_codes(config, self.rng, channels, inner)
        output = source.choice(("sums", "fixed", "int8"))
        function = "none" if output == "sums" else source.choice(list(ActivationFunction)).name.lower()
        layer = load(self.machine, codes, self.rng)
        scales = self.rng.uniform(0.001, 0.1, tokens)
        early = source.random() < 0.8
        job = Job(layer, random_activations(self.rng, tokens, inner), scales, output, function, 0.05, early)
        return job, codes

    def run_chain(self, length: int) -> None:
        jobs = [self.random_job() for _ in range(length)]
        results = self.machine.run_chain([job for job, _ in jobs])
        for number, ((job, codes), result) in enumerate(zip(jobs, results, strict=True)):
            wrong = np.argwhere(result.values != expected(job, codes))
            shape = (len(job.activations), job.layer.channels, job.layer.inner)
            assert not len(wrong), f"job {number}, {shape}, {job.output}: {len(wrong)} differ, first {wrong[0]}"
        for job, _ in jobs:
            self.machine.unload(job.layer)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def random_chains(dut, stall):
    """Jobs of all formats and sizes behind each other; no burst breaks a rule of AXI4."""
    tb = await AcceleratorBench.begun(dut, stall)
    for length in (1, 4, 2):
        await bridge(lambda length=length: tb.run_chain(length))()
    for name, beats in (("ar", tb.words_read.beats), ("aw", tb.words_written.beats)):
        assert sum(burst for _, burst in tb.addresses[name].bursts()) == len(beats)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def counters_equal_the_pins(dut, stall):
    """What moved on the memory port, and how long the machine was busy, counted independently."""
    tb = await AcceleratorBench.begun(dut, stall)
    stalled = 0

    def count() -> None:
        nonlocal stalled
        stalled += tb.read("m_axi_wvalid") and not tb.read("m_axi_wready")

    tb.every_cycle(count)
    job, codes = tb.random_job()
    result = await bridge(lambda: tb.machine.run_chain([job]))()
    assert np.array_equal(result[0].values, expected(job, codes))
    counters, size = result[0].counters, tb.config.bus_bytes
    assert counters["memory_access_busy"] == len(tb.words_read.beats)
    assert counters["bytes_read"] == size * len(tb.words_read.beats)
    assert counters["write_back_busy"] == len(tb.words_written.beats)
    assert counters["bytes_written"] == sum(beat.strb.bit_count() for beat in tb.words_written.beats)
    assert counters["write_back_stall"] == stalled
    first, last = tb.addresses["ar"].beats[0].cycle, tb.words_written.beats[-1].cycle
    assert 0 < counters["cycles"] - (last - first) < 40, "busy from the start to the last answer"
    assert counters["jobs"] == 1
