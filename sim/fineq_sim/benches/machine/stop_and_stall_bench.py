"""What the machine does while it waits and when it is stopped: stalls by stage, and aborts as the memory sees them."""

from __future__ import annotations

from collections.abc import Callable

import cocotb
import numpy as np
from cocotb.task import bridge

from fineq_hw.config import MacConfig
from fineq_hw.interface.registers import STAGES
from fineq_sim.benches.machine.accelerator_bench import AcceleratorBench
from fineq_sim.driver.jobs import Counters, Job
from fineq_sim.driver.samples import Prepared, expected, load
from fineq_sim.reference.random_layers import random_activations, random_codes, sums

OVERHEAD = {"unary": 289, "mac8x8": 362}
"""Cycles without a step of the array in `the_array_is_fed_in_time`, on machines of 5 x 7."""


def stall_conditions(dut, mac: bool) -> dict[str, Callable[[], bool]]:
    """Whether a stage is stalled, from the ports of the blocks: docs/hardware/registers.md in other words."""

    def high(name: str) -> bool:
        block, _, port = name.rpartition(".")
        return getattr(getattr(dut, block) if block else dut, port).value == 1

    def moves(stream: str) -> bool:
        return high(f"{stream}valid") and high(f"{stream}ready")

    return {
        "memory_access": lambda: not high("read_dma.idle") and not moves("m_axi_r"),
        "decode": lambda: high("weight_buffer.decoding") and not high("weight_buffer.line_written"),
        "preload": lambda: (
            high("input_buffer.busy") and high("core.activations__ready") and not high("core.activations__valid")
        ),
        "multiply": lambda: (
            not high("core.activations__ready") and not (moves("core.weights__") if mac else high("core.computing"))
        ),
        "vector": lambda: high("vector_unit.scaled__valid") and not high("vector_unit.scaled__ready"),
        "write_back": lambda: high("m_axi_wvalid") and not high("m_axi_wready"),
    }


@cocotb.test(skip=cocotb.SIM_NAME != "Icarus Verilog")  # Verilator shows the ports of the top alone
async def stall_counters_equal_the_ports_of_the_blocks(dut):
    """Every stall of every stage, counted independently while the memory pauses; each occurs."""
    tb = AcceleratorBench(dut, 0.5)
    await tb.begin()
    conditions = stall_conditions(dut, isinstance(tb.config.array, MacConfig))
    assert set(conditions) == set(STAGES)
    counted = dict.fromkeys(conditions, 0)

    def count() -> None:
        for stage, stalled in conditions.items():
            counted[stage] += stalled()

    tb.every_cycle(count)
    rng, config = tb.rng, tb.config
    tokens, channels, inner = 2 * config.array.rows, config.channels_per_tile + 3, 2 * config.array.columns + 1
    codes = random_codes(config, rng, channels, inner)

    def run() -> Counters:
        activations, scales = random_activations(rng, tokens, inner), rng.uniform(0.001, 0.1, tokens)
        job = Job(load(tb.machine, codes, rng), activations, scales, "fixed")
        (result,) = tb.machine.run_chain([job])
        assert np.array_equal(result.values, expected(job, codes))
        return result.counters

    counters = await bridge(run)()
    for stage, stalls in counted.items():
        got = counters[f"{stage}_stall"]
        assert got == stalls, f"{stage} counts {got} stalls, its ports show {stalls}"
    quiet = {stage for stage, stalls in counted.items() if not stalls}
    assert not quiet, f"no stall of {quiet}: the check says nothing of them"


@cocotb.test()
@cocotb.parametrize(moment=[60, 150, 300, 500, 701])
async def an_abort_asks_for_nothing_more(dut, moment):
    """After the answer to the soft reset no address is offered on either channel; what is under way ends."""
    tb = AcceleratorBench(dut)
    await tb.begin()
    config, machine = tb.config, tb.machine
    shape = (config.array.rows + 1, 2 * config.channels_per_tile, (config.line_slices + 1) * config.array.columns)

    def start() -> None:
        prepared = Prepared(machine, shape=shape)
        prepared.write(last=0, next=prepared.address)
        machine.registers.write("DESCRIPTOR", prepared.address)
        machine.registers.write("CONTROL", start=1)
        tb.transport.wait(moment)
        machine.registers.write("CONTROL", soft_reset=1)

    await bridge(start)()
    await tb.clock()
    offers = {channel: monitor.offers for channel, monitor in tb.addresses.items()}
    assert await bridge(lambda: tb.transport.wait(5000))(), "the abort does not end"
    assert {channel: monitor.offers for channel, monitor in tb.addresses.items()} == offers
    assert not tb.read("m_axi_arvalid") and not tb.read("m_axi_awvalid")


@cocotb.test()
async def the_array_is_fed_in_time(dut):
    """Cycles that a layer takes beside the steps of the array, on a fast memory; none of them depends on the weights.

    The bounds are what the machine takes today. Weights that the array waits for come before the next activations on
    the bus: without that, a dozen more.
    """
    tb = AcceleratorBench(dut)
    await tb.begin()
    rng, config = tb.rng, tb.config
    tokens, channels, inner = config.array.rows, config.channels_per_tile, 12 * config.array.columns

    def run() -> Counters:
        codes, activations = random_codes(config, rng, channels, inner), random_activations(rng, tokens, inner)
        result = tb.machine.run(load(tb.machine, codes, rng), activations, output="sums", early_termination=False)
        assert np.array_equal(result.values, sums(activations, codes))
        return result.counters

    counters = await bridge(run)()
    overhead = counters["cycles"] - counters["multiply_busy"]
    kind = f"mac8x{config.array.weight_bits}" if isinstance(config.array, MacConfig) else config.array.encoding
    allowed = OVERHEAD[kind]
    assert overhead <= allowed, f"{overhead} cycles beside the steps of the array, {allowed} are allowed"
