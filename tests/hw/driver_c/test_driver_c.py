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
from fineq.format import bytes_per_row, unpack
from fineq.format.temporal import ENCODINGS, input_order, row_places, row_vectors
from fineq_hw.config import ACCELERATORS, ArrayConfig, MacConfig
from fineq_hw.driver_c.interface import header, source
from fineq_hw.interface.error_codes import ERROR_TEXTS, ErrorCode
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat
from fineq_hw.interface.registers import COUNTERS, REGISTERS
from fineq_sim.driver import Accelerator, FunctionalTransport, Job, VerilatedTransport
from fineq_sim.reference.memory_image import weight_image
from fineq_sim.reference.vector_unit import fixed_point_scales, requantize_constants, to_fixed

OK, NOT_FOUND, UNKNOWN_MACHINE, NO_MEMORY, BAD_ARGUMENT, NEEDS_BLOCKS, TIMEOUT, REFUSED = 0, 1, 3, 4, 6, 7, 9, 10


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
SIZES = [
    ("accelerator_5x7", 33, 100, 12),
    ("accelerator_5x7", 16, 168, 5),
    ("accelerator_16x16", 70, 130, 20),
    ("accelerator_5x7_cluster", 33, 100, 12),  # the last line of a row is not full
    ("accelerator_5x7_cluster", 40, 168, 5),
    ("accelerator_5x7_cluster", 5, 7, 3),  # a cluster moves to the end of its line
    ("mac8x8_accelerator_5x7", 33, 100, 12),
    ("mac8x3_accelerator_16x16", 70, 130, 20),
]


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


@pytest.mark.parametrize("name", ["accelerator_5x7", "accelerator_5x7_cluster"])
def test_the_same_on_the_rtl(library, name):
    packed = layer(33, 100)
    activations, _ = tokens(12, 100)
    with VerilatedTransport(name, memory_base=BASE, memory_size=1 << 20, latency=9, stall=0.1) as rtl:
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


@pytest.mark.parametrize("columns", [*range(3, 26), 32, 60, 64, 130])
@pytest.mark.parametrize("encoding", ["unary", "cluster"])
def test_inputs_stand_where_the_format_says(library, columns, encoding):
    """Every length of a row around one line, in every vector and column."""
    array = ArrayConfig(rows=1, columns=columns, encoding=encoding, sign_handling="column")
    longest = array.line_weights + 2 * columns
    found = np.zeros(2 * longest + 2 * columns, dtype=np.uint32)
    for inner in {*range(1, min(longest, 200)), *range(max(1, longest - 200), longest)}:
        expected = input_order(inner, columns, encoding)
        vectors = library.host_inputs(
            columns, array.line_slices, ENCODINGS.index(encoding), inner, found.ctypes.data_as(ctypes.c_void_p)
        )
        assert vectors == len(expected), inner
        assert (found[: expected.size].view(np.int32) == expected.reshape(-1)).all(), inner


def test_packed_weights_are_read_as_the_format_says(library):
    """Every code with every payload, in every place of a block."""
    rows = np.random.default_rng(0).integers(0, 256, (4096, 7), dtype=np.uint8)
    expected, found = unpack(rows, 24, strict=False), np.zeros((len(rows), 24), dtype=np.int32)
    for row, weights in zip(rows, found, strict=True):
        library.host_unpack(row.ctypes.data_as(ctypes.c_void_p), 24, weights.ctypes.data_as(ctypes.c_void_p))
    assert (found == expected).all()


@pytest.mark.parametrize("columns", [4, 5, 7, 10, 16])
def test_clusters_that_move_keep_their_weights(library, columns):
    """All lengths of a row of a line: the machine computes with what the driver has put into memory."""
    array = ArrayConfig(rows=2, columns=columns, encoding="cluster", sign_handling="column")
    config = replace(ACCELERATORS["accelerator_5x7_cluster"], array=array)
    generator = np.random.default_rng(columns)
    transport = FunctionalTransport(config, memory_base=BASE, memory_size=1 << 20)
    moved = 0
    for inner in range(1, array.line_weights + 1):
        packed = layer(3, inner, seed=inner)
        driver = HostDriver(library, transport)
        activations = generator.integers(-128, 128, (3, inner)).astype(np.int8)
        assert (driver.probe(), driver.load(0, packed.blocks.numpy(), inner)) == (OK, OK)
        driver.job(0, 0, activations)
        assert driver.run(1) == OK
        expected = activations.astype(int) @ packed.codes().numpy().astype(int).T
        assert (driver.results(0, expected.shape) == expected).all(), inner
        moved += int((np.diff(row_places(inner, columns, "cluster")) != 1).any())
    assert moved


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("columns", [5, 7, 8])
def test_plain_weights_of_every_width(library, bits, columns):
    """Fields of lines that cross bytes, the largest and the smallest weights among them."""
    array = MacConfig(rows=3, columns=columns, weight_bits=bits)
    config = replace(ACCELERATORS["mac8x8_accelerator_5x7"], array=array)
    transport = FunctionalTransport(config, memory_base=BASE, memory_size=1 << 20)
    low, high = array.weight_limits
    generator = np.random.default_rng(bits)
    weights = generator.integers(low, high, (21, 4 * columns + 3), endpoint=True).astype(np.int8)
    weights[0], weights[1] = low, high
    driver = HostDriver(library, transport)
    assert (driver.probe(), driver.load(0, weights, weights.shape[1])) == (OK, OK)
    image = weight_image(config, weights, weights.shape[1])
    assert (transport.read_memory(BASE, len(image)) == image).all()
    if bits < 8:
        weights[3, 3] = high + 1
        assert driver.load(0, weights, weights.shape[1]) == BAD_ARGUMENT
        weights[3, 3] = low - 1
        assert driver.load(0, weights, weights.shape[1]) == BAD_ARGUMENT


@pytest.mark.parametrize("name", ["mac8x8_accelerator_5x7", "mac8x3_accelerator_16x16"])
def test_a_layer_of_plain_weights(library, name):
    low, high = ACCELERATORS[name].array.weight_limits
    weights = np.random.default_rng(0).integers(low, high, (33, 40), endpoint=True).astype(np.int8)
    activations, scales = tokens(9, 40)
    machine = Accelerator(FunctionalTransport(name, memory_base=BASE, memory_size=1 << 20))
    expected = machine.run(machine.load_integers(weights, 0.01), activations, scales=scales, output="fixed")
    driver = HostDriver(library, FunctionalTransport(name, memory_base=BASE, memory_size=1 << 20))
    assert (driver.probe(), driver.load(0, weights, 40, np.full(33, 0.01), np.zeros(33))) == (OK, OK)
    driver.job(0, 0, activations, scales, OutputFormat.FIXED.value)
    assert driver.run(1) == OK
    assert (driver.results(0, expected.values.shape) == expected.values).all()


@pytest.mark.parametrize("name", ["accelerator_5x7", "accelerator_5x7_cluster", "mac8x8_accelerator_5x7"])
def test_the_memory_planned_is_the_memory_taken(library, name):
    driver = HostDriver(library, FunctionalTransport(name, memory_base=BASE, memory_size=1 << 20))
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


def test_a_machine_that_the_driver_does_not_know(library, monkeypatch):
    for name, register, fields in (
        ("accelerator_5x7", "ARRAY_KIND", {"kind": 2}),
        ("accelerator_5x7", "ARRAY_KIND", {"encoding": len(ENCODINGS)}),
        ("accelerator_5x7", "TILE", {"line_bytes": 7}),  # no whole number of vectors
        ("mac8x8_accelerator_5x7", "ARRAY_KIND", {"weight_bits": 5}),
        ("mac8x8_accelerator_5x7", "TILE", {"line_bytes": 8}),
    ):
        transport = FunctionalTransport(name, memory_base=BASE, memory_size=1 << 20)
        driver = HostDriver(library, transport)
        assert driver.probe() == OK
        description = REGISTERS[register]
        said = description.decode(transport.values[register])
        monkeypatch.setitem(transport.values, register, description.encode(**said | fields))
        assert driver.probe() == UNKNOWN_MACHINE, fields


def test_plain_weights_for_an_array_of_packed_ones(library):
    driver = HostDriver(library, FunctionalTransport("accelerator_5x7", memory_base=BASE, memory_size=1 << 20))
    assert driver.probe() == OK
    assert driver.load(0, np.zeros((3, 5), dtype=np.int8), 5) == NEEDS_BLOCKS
    assert library.host_used() == 0


def test_an_inner_dimension_that_only_its_last_vector_makes_too_large(library):
    """Five columns of encoding cluster: some rows take one more vector than their columns ask for."""
    array = ArrayConfig(rows=2, columns=5, encoding="cluster", sign_handling="column", accumulator_bits=16)
    config = replace(ACCELERATORS["accelerator_5x7_cluster"], array=array)
    largest = config.max_inner_dimension
    refused = [
        inner
        for inner in range(1, largest + 1)
        if row_vectors(inner, 5, "cluster") > row_vectors(inner, 5) and 5 * row_vectors(inner, 5, "cluster") > largest
    ]
    driver = HostDriver(library, FunctionalTransport(config, memory_base=BASE, memory_size=1 << 20))
    assert driver.probe() == OK and refused, largest
    for inner in (refused[0] - 1, refused[0]):
        status = BAD_ARGUMENT if inner in refused else OK
        assert driver.load(0, np.zeros((2, bytes_per_row(inner)), dtype=np.uint8), inner) == status, inner


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
