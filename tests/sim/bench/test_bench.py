"""`Bench`: idle inputs, its configuration, its ports; a memory of the bus models."""

import asyncio
import json
from types import SimpleNamespace

import cocotb
import pytest

from fineq_hw.config import ARRAYS
from fineq_sim.bench.axi_memory import Memory
from fineq_sim.bench.bench import Bench
from fineq_sim.bench.testbench import random_source


class Handle:
    """A signal of a design."""

    def __init__(self) -> None:
        self.value = None


class ElementBench(Bench):
    inputs = ("load", "lines")

    async def begin(self) -> None:
        self.drive(load=1)


@pytest.fixture(autouse=True)
def in_a_run(monkeypatch):
    """What the runner and the simulator set."""
    monkeypatch.setenv("FINEQ_BENCH", json.dumps({"config": "fineq_5x7", "core": "temporal"}))
    monkeypatch.setattr(cocotb, "RANDOM_SEED", 3, raising=False)


@pytest.fixture
def dut():
    return SimpleNamespace(load=Handle(), lines=Handle(), sum=Handle())


def test_inputs_are_idle_and_the_configuration_is_there(dut):
    tb = ElementBench(dut)
    assert (dut.load.value, dut.lines.value, dut.sum.value) == (0, 0, None)
    assert tb.config == ARRAYS["fineq_5x7"] and tb.settings["core"] == "temporal"
    tb.drive(lines=5)
    assert tb.read("lines") == 5


def test_begun_is_a_bench_that_has_begun(dut):
    tb = asyncio.run(ElementBench.begun(dut, salt="begun"))
    assert isinstance(tb, ElementBench) and dut.load.value == 1


def test_random_numbers_hang_on_seed_and_salt_alone(dut, monkeypatch):
    first = ElementBench(dut, salt="a").source.random()
    assert first == ElementBench(dut, stall=0.4, salt="a").source.random()
    assert first != ElementBench(dut, salt="b").source.random()
    monkeypatch.setattr(cocotb, "RANDOM_SEED", 4)
    assert first != random_source("a").random()


def test_memory_fails_at_faults_and_beyond_its_end():
    memory = Memory(64, "test")
    asyncio.run(memory.write(8, b"abcd"))
    assert asyncio.run(memory.read(6, 8))[2:6] == b"abcd" and memory.written == 4
    memory.faults = {16}
    for address, length in ((16, 1), (10, 7), (60, 5)):
        with pytest.raises(ValueError, match=f"no memory at {address:#x}"):
            asyncio.run(memory.read(address, length))
    assert len(asyncio.run(memory.read(8, 8))) == 8
