"""Random layers and jobs for tests of a machine, what they must leave in memory, and descriptors to be refused."""

from __future__ import annotations

import numpy as np

from fineq_hw.config import ALIGNMENT, AcceleratorConfig
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, encode_descriptor
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.chain import Chain
from fineq_sim.driver.jobs import Job, Linear
from fineq_sim.reference.random_layers import random_activations, random_codes, sums
from fineq_sim.reference.vector_unit import (
    VectorSettings,
    fixed_point_scales,
    requantize_constants,
    to_fixed,
    vector_unit,
)


def load(machine: Accelerator, codes: np.ndarray, rng: np.random.Generator, name: str = "layer") -> Linear:
    """A layer with random scales and biases."""
    scales, bias = rng.uniform(0.001, 0.1, len(codes)), rng.uniform(-2, 2, len(codes))
    layer = machine.load_integers(codes, scales, bias, name)
    _SCALES[id(layer)] = (scales, bias)
    return layer


_SCALES: dict[int, tuple[np.ndarray, np.ndarray]] = {}


def expected(job: Job, codes: np.ndarray) -> np.ndarray:
    """What a job must leave in memory."""
    settings = VectorSettings(OutputFormat[job.output.upper()], ActivationFunction[job.function.upper()])
    values = sums(job.activations, codes)
    if job.output == "sums":
        return vector_unit(settings, values)
    assert job.scales is not None
    if job.output == "int8":
        assert job.output_scale is not None
        settings = VectorSettings(settings.output_format, settings.function, *requantize_constants(job.output_scale))
    scales, bias = _SCALES[id(job.layer)]
    return vector_unit(settings, values, *fixed_point_scales(scales), to_fixed(bias), *fixed_point_scales(job.scales))


def shapes(config: AcceleratorConfig) -> list[tuple[int, int, int]]:
    """M, N, K from one to beyond a tile, and not multiples of anything."""
    rows, columns = config.array.rows, config.array.columns
    line = columns * config.line_slices
    wide = config.channels_per_tile + config.final_channels + 3
    return [(1, 1, 1), (rows, config.final_channels, columns), (rows + 1, wide, line + 1), (2 * rows + 1, 5, 3)]


class Prepared:
    """A legal descriptor in memory, with everything it refers to, to be spoilt. `shape`: tokens, channels, inputs."""

    def __init__(self, machine: Accelerator, output: str = "fixed", shape: tuple[int, int, int] | None = None) -> None:
        rng = np.random.default_rng(5)
        config, self.machine = machine.config, machine
        tokens, channels, inner = shape or (3, 5, config.array.columns + 1)
        self.codes, self.activations = (
            random_codes(config, rng, channels, inner),
            random_activations(rng, tokens, inner),
        )
        self.job = Job(
            load(machine, self.codes, rng), self.activations, np.full(tokens, 0.02), output, output_scale=0.05
        )
        chain = Chain([self.job], config, machine.memory, machine.transport)
        (self.place,) = chain.places
        self.fields = chain.descriptors[0] | {"last": 1, "next": 0}
        self.address = machine.memory.allocate(DESCRIPTOR_BYTES)

    def write(self, **changes: int) -> None:
        self.write_bytes(encode_descriptor(**(self.fields | changes)))

    def write_bytes(self, descriptor: bytes) -> None:
        self.machine.transport.write_memory(self.address, np.frombuffer(descriptor, dtype=np.uint8))

    def run(self, address: int | None = None) -> None:
        self.machine.run_descriptors(self.address if address is None else address, 100_000)

    def read(self) -> np.ndarray:
        return self.place.read(self.machine.transport, len(self.activations), len(self.codes))

    def check_usable(self) -> None:
        """The legal descriptor runs."""
        self.write()
        self.run()
        assert np.array_equal(self.read(), expected(self.job, self.codes))


def spoilt_descriptors(prepared: Prepared) -> dict[str, dict[str, int]]:
    """Illegal contents of each field, by the name of the error code that they must give."""
    machine, fields = prepared.machine, prepared.fields
    base = machine.transport.memory_base
    end = base + machine.transport.memory_size
    spoilt = {
        "UNKNOWN_OPERATION": {"operation": 7},
        "UNKNOWN_OUTPUT_FORMAT": {"output_format": 9},
        "UNKNOWN_FUNCTION": {"function": 13},
        "FUNCTION_WITH_SUMS": {"output_format": OutputFormat.SUMS.value, "function": ActivationFunction.RELU.value},
        "ZERO_TOKENS": {"tokens": 0},
        "ZERO_CHANNELS": {"channels": 0},
        "ZERO_INNER": {"inner": 0},
        "TOKENS_TOO_LARGE": {"tokens": 1 << 16},
        "CHANNELS_TOO_LARGE": {"channels": 1 << 31},
        "INNER_TOO_LARGE": {"inner": 1 << 16},
        "ACTIVATION_STRIDE_MISALIGNED": {"activation_stride": ALIGNMENT // 2},
        "DESTINATION_STRIDE_MISALIGNED": {"destination_stride": fields["destination_stride"] + 1},
        "DESTINATION_STRIDE_TOO_SMALL": {"destination_stride": 0},
        "NEXT_MISALIGNED": {"last": 0, "next": prepared.address + 8},
        "NEXT_OUTSIDE": {"last": 0, "next": end},
        "DESCRIPTOR_OVERLAPPED": {"destination": prepared.address},
    }
    if machine.config.max_inner_dimension < (1 << 16) - 1:
        spoilt["INNER_OVERFLOWS"] = {"inner": machine.config.max_inner_dimension + 1}
    for region in ("destination", "activations", "weights", "channel_parameters", "token_parameters"):
        spoilt[f"{region.upper()}_MISALIGNED"] = {region: fields[region] + 1}
        spoilt[f"{region.upper()}_OUTSIDE"] = {region: end - ALIGNMENT if region != "token_parameters" else end}
        if region != "destination":
            spoilt[f"{region.upper()}_OVERLAPPED"] = {"tokens": 1, "channels": 1, "destination": fields[region]}
    return spoilt
