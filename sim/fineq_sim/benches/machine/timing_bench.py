"""One layer on an accelerator with a fast memory, for the timing diagram: `make architecture` records it."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.task import bridge

from fineq_hw.config import AcceleratorConfig
from fineq_sim.bench.testbench import parameters
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.cocotb import CocotbTransport
from fineq_sim.driver.samples import load
from fineq_sim.reference.payloads import find_config
from fineq_sim.reference.random_layers import random_activations, random_codes, sums

MEMORY = 1 << 18


@cocotb.test()
async def test_layer(dut):
    config = find_config(parameters()["config"])
    assert isinstance(config, AcceleratorConfig)
    tokens, channels, inner = parameters()["shape"]
    transport = CocotbTransport(dut, config, memory_size=MEMORY, stall=0.0)
    await transport.start()

    def layer() -> None:
        rng = np.random.default_rng(1)
        machine = Accelerator(transport)
        codes = random_codes(config, rng, channels, inner)
        activations = random_activations(rng, tokens, inner)
        result = machine.run(load(machine, codes, rng), activations, output="sums")
        assert (result.values == sums(activations, codes)).all()

    await bridge(layer)()
