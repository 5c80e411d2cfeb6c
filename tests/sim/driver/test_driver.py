"""The driver on the functional model: the checks that every transport must pass, and the driver's own errors."""

import numpy as np
import pytest
import torch

import fineq
from fineq_hw.interface.registers import REGISTERS
from fineq_sim.driver import Accelerator, AcceleratorError, FunctionalTransport, OutOfMemoryError
from fineq_sim.driver.conformance import CHECKS

MEMORY = 1 << 20


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "name", ["accelerator_5x7", "accelerator_5x7_cluster", "accelerator_8x24", "mac8x8_accelerator_5x7"]
)
def test_functional_machine(name, check):
    CHECKS[check](Accelerator(FunctionalTransport(name, memory_base=0x3000, memory_size=MEMORY)))


@pytest.fixture
def machine():
    return Accelerator(FunctionalTransport("accelerator_8x24", memory_size=1 << 16))


@pytest.fixture
def layer(machine):
    codes = np.zeros((5, 30), dtype=np.int8)
    codes[:, 0] = [1, -1, 3, 0, 2]
    return machine.load_integers(codes, np.full(5, 0.5), name="q_proj")


ACTIVATIONS = np.ones((2, 30), dtype=np.int8)


@pytest.mark.parametrize(
    "activations, options, text",
    [
        (
            ACTIVATIONS.astype(np.float32),
            {},
            "the activations of q_proj are float32 of shape [2, 30]: they must be numpy int8 of shape [tokens, 30]",
        ),
        (
            ACTIVATIONS[:, 1:],
            {},
            "the activations of q_proj have shape [2, 29]: they must have shape [tokens, 30] with at least one token",
        ),
        (ACTIVATIONS, {"output": "float"}, "unknown output 'float' for q_proj: choose one of sums, fixed, int8"),
        (
            ACTIVATIONS,
            {"output": "fixed", "scales": np.ones(2), "function": "tanh"},
            "unknown function 'tanh' for q_proj: choose one of none, relu, silu, gelu",
        ),
        (ACTIVATIONS, {"output": "fixed"}, "the output fixed of q_proj needs `scales`, one for each of the 2 tokens"),
        (
            ACTIVATIONS,
            {"output": "int8", "scales": np.ones(2)},
            "the output int8 of q_proj needs `output_scale`, what one step stands for",
        ),
        (
            ACTIVATIONS,
            {"output": "fixed", "scales": np.array([1.0, -1.0])},
            "q_proj: a scale is -1.0: scales must be positive and finite",
        ),
        (
            ACTIVATIONS,
            {"function": "relu"},
            "the accelerator refused job 1 of 1 (q_proj): Sums are written as they are: `function` must be NONE with "
            "the output format SUMS. The field function is 1 (0x1).",
        ),
    ],
)
def test_bad_jobs(machine, layer, activations, options, text):
    free = machine.memory.free_bytes
    with pytest.raises(AcceleratorError) as error:
        machine.run(layer, activations, **options)
    assert str(error.value) == text
    assert machine.memory.free_bytes == free
    assert machine.run(layer, ACTIVATIONS).values.tolist() == [[1, -1, 3, 0, 2]] * 2


def test_bad_layers(machine):
    free = machine.memory.free_bytes
    with pytest.raises(AcceleratorError, match="^o_proj has weights from 0 to 4: the array takes -3 to 3$"):
        machine.load_integers(np.array([[0, 4]]), np.ones(1), name="o_proj")
    with pytest.raises(AcceleratorError, match=r"^layer has weights of shape \[2\]: they must be \[N, K\], not empty$"):
        machine.load_integers(np.array([0, 1]), np.ones(1))
    with pytest.raises(AcceleratorError, match="^layer: a value lies outside -32768 .. 32768$"):
        machine.load_integers(np.array([[1]]), np.ones(1), bias=np.array([1e5]))
    with pytest.raises(OutOfMemoryError, match="^the device memory is full: the weights of big needs 86016 bytes"):
        machine.load_integers(np.zeros((256, 1152), dtype=np.int8), np.ones(256), name="big")
    packed = fineq.quantize(torch.randn(6, 24), recipe="paper", axis="column")
    with pytest.raises(AcceleratorError, match="^layer is quantized by columns, which the hardware cannot compute"):
        machine.load_linear(packed)
    assert machine.memory.free_bytes == free


def test_packed_layer_of_the_quantizer(machine):
    generator = torch.Generator().manual_seed(3)
    packed = fineq.quantize(torch.randn(33, 50, generator=generator), recipe="paper")
    activations, scales = fineq.quantize_activations(torch.randn(9, 50, generator=generator))
    bias = np.linspace(-1, 1, 33)
    layer = machine.load_linear(packed, bias)
    sums = machine.run(layer, activations.numpy()).values
    assert np.array_equal(sums, activations.numpy().astype(int) @ packed.codes().numpy().astype(int).T)
    result = machine.run(layer, activations.numpy(), output="fixed", scales=scales.numpy())
    exact = sums * scales.numpy()[:, None] * packed.scales.numpy() + bias
    assert np.abs(result.real - exact).max() < 2e-3
    with pytest.raises(AcceleratorError, match="^sums have no unit: multiply with the scales"):
        machine.run(layer, activations.numpy()).real  # noqa: B018


def test_a_model_without_time_says_so(machine, layer):
    counters = machine.run(layer, ACTIVATIONS).counters
    assert counters.cycles is None
    assert counters.busy_share("multiply") is None
    assert counters["weight_vectors"] == 2 * 5


class Strange(FunctionalTransport):
    """A machine that reads differently at one register."""

    change: dict[str, int] = {}

    def read_register(self, address):
        names = {REGISTERS[name].offset: value for name, value in self.change.items()}
        return names.get(address, super().read_register(address))


@pytest.mark.parametrize(
    "change, text",
    [
        ({"MAGIC": 0}, "there is no FineQ accelerator: the first register reads 0x00000000, not 0x46494e51"),
        ({"VERSION": 2 << 16}, "the accelerator has version 2.0: this driver knows version 1 from 1.1 on"),
        ({"VERSION": 1 << 16}, "the accelerator has version 1.0: this driver knows version 1 from 1.1 on"),
        ({"TILE": 32}, "the accelerator says line_bytes is 0: this driver expects 7"),
        (
            {"MEMORY_BUS": 0x10_28_03},
            "the accelerator says of itself what this driver does not know: bus_bits is 24: choose one of 64, 128",
        ),
    ],
)
def test_unknown_machines(change, text):
    transport = Strange("accelerator_8x24", memory_size=1 << 16)
    transport.change = change
    with pytest.raises(AcceleratorError) as error:
        Accelerator(transport)
    assert str(error.value) == text


def test_memory_beyond_the_addresses():
    with pytest.raises(AcceleratorError, match="^the memory ends at 0x10000010000: .* addresses have 40 bits$"):
        Accelerator(FunctionalTransport("accelerator_8x24", memory_base=1 << 40, memory_size=1 << 16))
    with pytest.raises(ValueError, match="^unknown accelerator 'x': choose one of accelerator_64x64, "):
        FunctionalTransport("x")
