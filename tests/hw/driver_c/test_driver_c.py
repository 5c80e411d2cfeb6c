"""The C driver against the functional model, warnings as errors: the same bytes as the Python driver's."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.driver.host_driver import BASE, HostDriver, compiled
from helpers.running.command_line import run_fineq

import fineq
from fineq_hw.config import ACCELERATORS, ARRAYS
from fineq_hw.driver_c.interface import header, source
from fineq_hw.interface.error_codes import ERROR_TEXTS, ErrorCode
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat
from fineq_hw.interface.registers import COUNTERS, REGISTERS
from fineq_sim.driver import Accelerator, FunctionalTransport, Job, VerilatedTransport
from fineq_sim.reference.vector_unit import fixed_point_scales, requantize_constants, to_fixed

OK, NOT_FOUND, NO_MEMORY, BAD_ARGUMENT, NEEDS_IMAGE, TIMEOUT, REFUSED = 0, 1, 4, 6, 7, 9, 10


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("driver"))


def layer(channels: int, inner: int, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return fineq.quantize(torch.randn(channels, inner, generator=generator), recipe="paper")


def tokens(count: int, inner: int, seed: int = 1):
    values, scales = fineq.quantize_activations(
        torch.randn(count, inner, generator=torch.Generator().manual_seed(seed))
    )
    return np.ascontiguousarray(values.numpy()), scales.numpy()


# Sizes that fill tiles, lines and channels exactly, and sizes that leave all of them open.
SIZES = [("accelerator_5x7", 33, 100, 12), ("accelerator_5x7", 16, 168, 5), ("accelerator_16x16", 70, 130, 20)]


@pytest.mark.parametrize("name, channels, inner, count", SIZES)
def test_a_chain_gives_what_the_python_driver_gives(library, name, channels, inner, count):
    packed, second = layer(channels, inner), layer(channels // 2, inner, seed=2)
    bias = np.linspace(-2, 2, channels)
    activations, scales = tokens(count, inner)
    machine = Accelerator(FunctionalTransport(name, memory_base=BASE, memory_size=1 << 20))
    jobs = [
        Job(machine.load_linear(packed, bias), activations, scales, "fixed", "silu"),
        Job(machine.load_linear(second), activations),
        Job(machine.load_linear(packed, bias), activations, scales, "int8", "gelu", output_scale=0.03),
    ]
    expected = machine.run_chain(jobs)

    driver = HostDriver(library, FunctionalTransport(name, memory_base=BASE, memory_size=1 << 20))
    assert driver.probe() == OK
    assert driver.load(0, packed.blocks.numpy(), inner, packed.scales.numpy(), to_fixed(bias)) == OK
    assert driver.load(1, second.blocks.numpy(), inner) == OK
    silu, gelu = ActivationFunction.SILU.value, ActivationFunction.GELU.value
    driver.job(0, 0, activations, scales, OutputFormat.FIXED.value, silu)
    driver.job(1, 1, activations)
    driver.job(2, 0, activations, scales, OutputFormat.INT8.value, gelu, requantize_constants(0.03))
    assert driver.run(3) == OK
    for number, result in enumerate(expected):
        assert (driver.results(number, result.values.shape) == result.values).all(), number
    counters = {counter.name: library.host_counter(number) for number, counter in enumerate(COUNTERS)}
    assert counters == dict(expected[0].counters.values)


def test_the_same_on_the_rtl(library):
    packed = layer(33, 100)
    activations, _ = tokens(12, 100)
    with VerilatedTransport("accelerator_5x7", memory_base=BASE, memory_size=1 << 20, latency=9, stall=0.1) as rtl:
        driver = HostDriver(library, rtl, patience=500)
        assert driver.probe() == OK
        assert driver.load(0, packed.blocks.numpy(), 100) == OK
        driver.job(0, 0, activations)
        driver.job(1, 0, activations[:6].copy())
        assert driver.run(2) == OK
        expected = activations.astype(int) @ packed.codes().numpy().astype(int).T
        assert (driver.results(0, expected.shape) == expected).all()
        assert (driver.results(1, expected[:6].shape) == expected[:6]).all()
        assert library.host_counter(0) > library.host_counter(13) > 0, "cycles, weight vectors"


def test_the_memory_planned_is_the_memory_taken(library):
    driver = HostDriver(library, FunctionalTransport("accelerator_5x7", memory_base=BASE, memory_size=1 << 20))
    packed = layer(20, 60)
    activations, scales = tokens(7, 60)
    driver.probe()
    driver.load(0, packed.blocks.numpy(), 60, packed.scales.numpy(), np.zeros(20))
    driver.job(0, 0, activations, scales, OutputFormat.FIXED.value)
    assert driver.run(1) == OK
    assert library.host_used() == library.host_planned(1, 1, 1)


def test_scales_are_rounded_as_by_the_python_driver(library):
    generator = np.random.default_rng(0)
    values = np.exp2(generator.uniform(-60, 15.9, 500)).astype(np.float32)
    edges = np.array([1.0, 0.5, 65535.0, 65535.4, 1.9999999, 2.0**-63, 1.5 * 2.0**-63, 3 * 2.0**-17], dtype=np.float32)
    for value in np.concatenate([values, edges]):
        multiplier, shift = ctypes.c_uint16(), ctypes.c_uint8()
        bits = int(value.view(np.uint32))
        assert library.host_scale(bits, ctypes.byref(multiplier), ctypes.byref(shift)), value
        expected = fixed_point_scales(float(value))
        assert (multiplier.value, shift.value) == (int(expected[0]), int(expected[1])), value


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan"), 65536.0, 2.0**-65, 1e-42])
def test_scales_that_cannot_be_are_refused(library, value):
    with pytest.raises(ValueError):
        fixed_point_scales(value)
    spare = ctypes.c_uint16(), ctypes.c_uint8()
    bits = int(np.float32(value).view(np.uint32))
    assert not library.host_scale(bits, ctypes.byref(spare[0]), ctypes.byref(spare[1]))


def test_what_cannot_be_has_a_status(library):
    transport = FunctionalTransport("accelerator_5x7", memory_base=BASE, memory_size=1 << 20)
    driver = HostDriver(library, transport, size=4096)
    packed = layer(16, 48)
    activations, _ = tokens(3, 48)
    assert driver.probe() == OK
    assert driver.load(0, packed.blocks.numpy(), transport.config.max_inner_dimension + 1) == BAD_ARGUMENT
    assert driver.load(0, np.zeros((256, 7 * 20), dtype=np.uint8), 480) == NO_MEMORY
    assert driver.load(0, packed.blocks.numpy(), 48) == OK
    driver.job(0, 0, activations, output=OutputFormat.FIXED.value)
    assert driver.run(1) == BAD_ARGUMENT, "no scales"
    driver.job(0, 0, np.zeros((100, 48), dtype=np.int8))
    assert driver.run(1) == NO_MEMORY
    driver.job(0, 0, activations)
    driver.patience = 0
    assert driver.run(1, polls=3) == TIMEOUT
    driver.patience = 1
    assert driver.run(1) == OK


def test_no_machine_and_another_machine(library, monkeypatch):
    transport = FunctionalTransport("accelerator_5x7", memory_base=BASE, memory_size=1 << 20)
    monkeypatch.setitem(transport.values, "MAGIC", 0)
    assert HostDriver(library, transport).probe() == NOT_FOUND
    cluster = replace(
        ACCELERATORS["accelerator_5x7_cluster"], array=replace(ARRAYS["fineq_5x7_cluster"], rows=5, columns=7)
    )
    driver = HostDriver(library, FunctionalTransport(cluster, memory_base=BASE, memory_size=1 << 20))
    assert driver.probe() == OK
    assert driver.load(0, layer(16, 48).blocks.numpy(), 48) == NEEDS_IMAGE


def test_an_error_of_the_machine_comes_in_words(library):
    transport = FunctionalTransport("accelerator_5x7", memory_base=BASE, memory_size=1 << 20)
    driver = HostDriver(library, transport)
    activations, _ = tokens(3, 48)
    driver.probe()
    driver.load(0, layer(16, 48).blocks.numpy(), 48)
    driver.job(0, 0, activations, function=ActivationFunction.RELU.value)  # not with sums
    assert driver.run(1) == REFUSED
    assert library.host_failure().decode() == ERROR_TEXTS[ErrorCode.FUNCTION_WITH_SUMS]
    driver.job(0, 0, activations)
    assert driver.run(1) == OK


def test_the_command_writes_what_the_description_says(tmp_path):
    outcome = run_fineq("driver-c", "-o", tmp_path)
    assert outcome.code == 0, outcome.stderr
    assert (tmp_path / "fineq_interface.h").read_text() == header()
    assert (tmp_path / "fineq_interface.c").read_text() == source()
    for register in REGISTERS.values():
        assert f"#define FINEQ_REG_{register.name} 0x{register.offset:03X}u" in header()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    outcome = run_fineq("driver-c", "-o", tmp_path / "file")
    assert outcome.code == 1 and len(outcome.stderr.strip().splitlines()) == 1, outcome.stderr
