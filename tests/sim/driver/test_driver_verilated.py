"""The driver on the verilated accelerator: the same checks as on the functional model, slow memories, breakdowns."""

import numpy as np
import pytest

from fineq_hw.config import ACCELERATORS
from fineq_sim.driver import Accelerator, AcceleratorTimeout, FunctionalTransport, VerilatedTransport
from fineq_sim.driver.conformance import CHECKS
from fineq_sim.reference.random_layers import random_activations, random_codes, sums
from fineq_sim.runs.simulators import SimulatorError

MEMORY = 1 << 16
BASE = 0x3000


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "name",
    [
        "accelerator_5x7",
        pytest.param("accelerator_5x7_cluster", marks=pytest.mark.regress),
        pytest.param("accelerator_8x24", marks=pytest.mark.regress),
        pytest.param("accelerator_16x16", marks=pytest.mark.regress),
        pytest.param("mac8x8_accelerator_5x7", marks=pytest.mark.regress),
        pytest.param("mac8x3_accelerator_16x16", marks=pytest.mark.regress),
    ],
)
def test_verilated_machine(name, check):
    with VerilatedTransport(name, memory_base=BASE, memory_size=16 * MEMORY) as transport:
        CHECKS[check](Accelerator(transport))


@pytest.mark.parametrize("latency, stall, seed", [(40, 0.0, 1), (1, 0.5, 2), (7, 0.3, 3)])
def test_a_slow_memory_changes_nothing_but_the_time(latency, stall, seed):
    rng = np.random.default_rng(seed)
    config = ACCELERATORS["accelerator_5x7"]
    codes, activations = random_codes(config, rng, 37, 60), random_activations(rng, 11, 60)
    counters = []
    for options in ({}, {"latency": latency, "stall": stall, "seed": seed}):
        with VerilatedTransport("accelerator_5x7", memory_size=MEMORY, **options) as transport:
            machine = Accelerator(transport)
            result = machine.run(machine.load_integers(codes, 0.1), activations)
            assert np.array_equal(result.values, sums(activations, codes))
            counters.append(result.counters)
    fast, slow = counters
    assert slow.cycles > fast.cycles
    assert slow["memory_access_stall"] > fast["memory_access_stall"]
    for name in ("weight_vectors", "multiply_busy", "bytes_read", "bytes_written", "tiles"):
        assert slow[name] == fast[name]


def test_same_seed_same_cycles():
    cycles = []
    for seed in (5, 5, 6):
        with VerilatedTransport("accelerator_5x7", memory_size=MEMORY, stall=0.4, seed=seed) as transport:
            machine = Accelerator(transport)
            layer = machine.load_integers(np.ones((20, 30), dtype=np.int8), 0.1)
            cycles.append(machine.run(layer, np.ones((4, 30), dtype=np.int8)).counters.cycles)
    assert cycles[0] == cycles[1] != cycles[2]


def test_a_hanging_machine_is_described():
    """A memory that hardly ever answers: the driver says what the machine was doing, and resets it."""
    with VerilatedTransport("accelerator_5x7", memory_size=MEMORY, latency=3000) as transport:
        machine = Accelerator(transport)
        layer = machine.load_integers(np.ones((4, 7), dtype=np.int8), 0.1, name="q_proj")
        activations = np.ones((1, 7), dtype=np.int8)
        with pytest.raises(
            AcceleratorTimeout,
            match=r"^no answer after 5000 cycles: the machine is busy at job 1 of 1 \(q_proj\), 0 jobs done, 0 tiles "
            r"begun. Cycles by stage: memory access busy \d+, stalled [45]\d\d\d; decode busy 0,",
        ):
            machine.run(layer, activations, limit=5000)
        assert machine.run(layer, activations).values.tolist() == [[7] * 4]


def test_reset_line_in_the_middle_of_a_job():
    with VerilatedTransport("accelerator_5x7", memory_size=MEMORY) as transport:
        machine = Accelerator(transport)
        codes = np.ones((40, 30), dtype=np.int8)
        layer = machine.load_integers(codes, 0.1)
        activations = np.ones((8, 30), dtype=np.int8)
        machine.run(layer, activations)
        machine.registers.write("DESCRIPTOR", 0)
        machine.registers.write("CONTROL", start=1)
        transport.wait(25)
        transport.reset()
        machine = Accelerator(transport)
        layer = machine.load_integers(codes, 0.1)
        assert (machine.run(layer, activations).values == 30).all()


def test_bad_use():
    with pytest.raises(ValueError, match="^stall is 1.0: a share of cycles from 0 to below 1$"):
        VerilatedTransport("accelerator_5x7", stall=1.0)
    with pytest.raises(ValueError, match="^latency is 0: a memory takes at least one cycle$"):
        VerilatedTransport("accelerator_5x7", latency=0)
    with VerilatedTransport("accelerator_5x7", memory_base=BASE, memory_size=MEMORY) as transport:
        with pytest.raises(ValueError, match="^the memory reaches from 0x3000 to 0x13000: there are no 2 bytes at 0x2"):
            transport.read_memory(BASE - 1, 2)
        transport._process.kill()
        with pytest.raises(SimulatorError, match="^the accelerator's simulation broke down with exit code -9$"):
            Accelerator(transport)


def test_transports_agree_on_the_registers():
    """Every register reads the same after reset, word by word."""
    with VerilatedTransport("accelerator_5x7", memory_size=MEMORY) as verilated:
        functional = FunctionalTransport("accelerator_5x7", memory_size=MEMORY)
        for address in range(0, 0x1000, 4):
            assert verilated.read_register(address) == functional.read_register(address), hex(address)
