"""A chain of jobs in device memory: checks, copies of activations and scales, descriptors, places of the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fineq.format import MAX_MAGNITUDE
from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, encode_descriptor, inner_tiles
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat, result_bytes
from fineq_sim.driver.exceptions import AcceleratorError
from fineq_sim.driver.jobs import Job, StoredPart
from fineq_sim.driver.memory import Allocator
from fineq_sim.driver.split import joined
from fineq_sim.driver.transport import Transport
from fineq_sim.reference import memory_image
from fineq_sim.reference.vector_unit import (
    MAX_SHIFT,
    VectorSettings,
    fixed_point_scales,
    requantize_constants,
    vector_unit,
)

_PATIENCE = 50
"""A job may take so many times the cycles of its steps and of its words before the driver gives up."""

_SHORTEST_LIMIT = 100_000


@dataclass(frozen=True)
class ResultPlace:
    """Where a job leaves its results.

    Attributes:
        address: of the first token's.
        stride: bytes from one token to the next.
        size: bytes of an element.
    """

    address: int
    stride: int
    size: int

    def read(self, transport: Transport, tokens: int, channels: int) -> np.ndarray:
        """The results, int [M, N]."""
        image = transport.read_memory(self.address, tokens * self.stride)
        return memory_image.read_results(image, tokens, channels, self.stride, np.dtype(f"<i{self.size}"))


class Chain:
    """Jobs laid out in device memory, until `free`.

    Args:
        jobs: at least one.
        config: the machine.
        memory: where there is room.
        transport: the way to it.

    Attributes:
        descriptors: fields of the descriptor of each part of each job, not yet linked.
        names: of the layers, descriptor by descriptor.
        places: of the results, descriptor by descriptor.

    Raises:
        AcceleratorError: something is wrong with a job, or the memory is full; all that was taken is free again.
    """

    def __init__(self, jobs: Sequence[Job], config: AcceleratorConfig, memory: Allocator, transport: Transport) -> None:
        self._config, self._memory, self._transport = config, memory, transport
        self._taken: list[int] = []
        self._jobs = jobs
        # Address of the copy of an array, by the array's identity and the part of it.
        self._copies: dict[tuple[int, int, int], int] = {}
        self.descriptors: list[dict[str, int]] = []
        self.names: list[str] = []
        self.places: list[ResultPlace] = []
        try:
            for job in jobs:
                check_job(job)
                for part in job.layer.parts:
                    self._lay_out(job, part)
        except Exception:
            self.free()
            raise

    def link(self) -> int:
        """Write the descriptors one behind the other; returns the address of the first."""
        count = len(self.descriptors)
        first = self._allocate(DESCRIPTOR_BYTES * count, "the descriptors")
        for number, fields in enumerate(self.descriptors):
            last = number == count - 1
            fields |= {"next": 0 if last else first + DESCRIPTOR_BYTES * (number + 1), "last": last, "tag": number}
        content = b"".join(encode_descriptor(**fields) for fields in self.descriptors)
        self._transport.write_memory(first, np.frombuffer(content, dtype=np.uint8))
        return first

    def results(self) -> list[np.ndarray]:
        """What the jobs have left, [M, N] each."""
        results = []
        places = iter(self.places)
        for job in self._jobs:
            layer, tokens = job.layer, len(job.activations)
            values = [next(places).read(self._transport, tokens, part.height) for part in layer.parts]
            whole = joined(layer.parts, values)
            results.append(self._finished(job, whole) if layer.adds_on_host else whole)
        return results

    def _finished(self, job: Job, sums: np.ndarray) -> np.ndarray:
        """What the vector unit makes of sums, for a layer whose sums the machine has in parts alone."""
        output = OutputFormat[job.output.upper()]
        if output is OutputFormat.SUMS or job.scales is None:
            return sums
        columns = [part for part in job.layer.parts if not part.inputs.start]
        records = np.concatenate(
            [
                memory_image.read_channels(
                    self._transport.read_memory(part.parameters, part.height * memory_image.CHANNEL_RECORD.itemsize),
                    part.height,
                )
                for part in columns
            ]
        )
        constants = requantize_constants(job.output_scale) if job.output_scale is not None else (0, 0)
        settings = VectorSettings(output, ActivationFunction[job.function.upper()], *constants)
        channel = (records["multiplier"], records["shift"] & MAX_SHIFT, records["bias"])
        return vector_unit(settings, sums.astype(np.int64), *channel, *fixed_point_scales(job.scales))

    def free(self) -> None:
        """Give the memory back."""
        for address in self._taken:
            self._memory.free(address)
        self._taken.clear()

    def _allocate(self, size: int, purpose: str) -> int:
        address = self._memory.allocate(size, purpose)
        self._taken.append(address)
        return address

    def _store(
        self, values: np.ndarray, make: Callable[[], np.ndarray], purpose: str, part: slice = slice(0, 0)
    ) -> int:
        """Address of the image of a part of some values; jobs that share the array share the image."""
        key = id(values), part.start, part.stop
        if key not in self._copies:
            image = make()
            self._copies[key] = self._allocate(len(image), purpose)
            self._transport.write_memory(self._copies[key], image)
        return self._copies[key]

    def _lay_out(self, job: Job, part: StoredPart) -> None:
        config, layer, tokens = self._config, job.layer, len(job.activations)
        inner = memory_image.stored_inner(part.width, config)
        activations = self._store(
            job.activations,
            lambda: memory_image.activation_image(config, job.activations[:, part.inputs]),
            f"the activations of {layer.name}",
            part.inputs,
        )
        output = OutputFormat.SUMS if layer.adds_on_host else OutputFormat[job.output.upper()]
        function = ActivationFunction.NONE if layer.adds_on_host else ActivationFunction[job.function.upper()]
        size = result_bytes(output)
        stride = memory_image.result_stride(part.height, np.dtype(f"i{size}"))
        destination = self._allocate(stride * tokens, f"the results of {layer.name}")
        fields: dict[str, int] = {
            "output_format": output.value,
            "function": function.value,
            "early_termination": job.early_termination,
            "tokens": tokens,
            "channels": part.height,
            "inner": inner,
            "activations": activations,
            "activation_stride": inner_tiles(inner, config) * config.activation_tile_bytes,
            "weights": part.weights,
            "destination": destination,
            "destination_stride": stride,
        }
        if job.scales is not None and output is not OutputFormat.SUMS:
            scales = _constants(fixed_point_scales, job.scales, layer.name)
            fields["channel_parameters"] = part.parameters
            fields["token_parameters"] = self._store(
                job.scales, lambda: memory_image.token_image(config, *scales), f"the token scales of {layer.name}"
            )
        if output is OutputFormat.INT8:
            constants = _constants(requantize_constants, job.output_scale, layer.name)
            fields["requantize_multiplier"], fields["requantize_shift"] = constants
        self.names.append(layer.name)
        self.descriptors.append(fields)
        self.places.append(ResultPlace(destination, stride, size))


def check_job(job: Job) -> None:
    """Check what can be checked without a machine.

    Raises:
        AcceleratorError: activations, output, function or scales that cannot be; the sentence says which.
    """
    name, activations = job.layer.name, job.activations
    if not isinstance(activations, np.ndarray) or activations.dtype != np.int8 or activations.ndim != 2:
        kind = getattr(activations, "dtype", type(activations).__name__)
        raise AcceleratorError(
            f"the activations of {name} are {kind} of shape {list(np.shape(activations))}: they must be numpy "
            f"int8 of shape [tokens, {job.layer.inner}]"
        )
    if not len(activations) or activations.shape[1] != job.layer.inner:
        raise AcceleratorError(
            f"the activations of {name} have shape {list(activations.shape)}: they must have shape "
            f"[tokens, {job.layer.inner}] with at least one token"
        )
    for what, value, known in (
        ("output", job.output, OutputFormat),
        ("function", job.function, ActivationFunction),
    ):
        if value.upper() not in known.__members__:
            names = ", ".join(each.lower() for each in known.__members__)
            raise AcceleratorError(f"unknown {what} {value!r} for {name}: choose one of {names}")
    if job.output != "sums" and (job.scales is None or np.shape(job.scales) != (len(activations),)):
        raise AcceleratorError(
            f"the output {job.output} of {name} needs `scales`, one for each of the {len(activations)} tokens"
        )
    if job.output == "int8" and job.output_scale is None:
        raise AcceleratorError(f"the output int8 of {name} needs `output_scale`, what one step stands for")


def chain_limit(jobs: Sequence[Job], config: AcceleratorConfig) -> int:
    """Cycles that a chain may take."""
    work = 0
    for job in jobs:
        token_tiles = -(-len(job.activations) // config.array.rows)
        vectors = token_tiles * sum(
            inner_tiles(memory_image.stored_inner(part.width, config), config) * part.height for part in job.layer.parts
        )
        values = job.activations.size + 4 * len(job.activations) * job.layer.channels
        work += vectors * MAX_MAGNITUDE + (values + token_tiles * job.layer.image_bytes) // config.bus_bytes
    return _SHORTEST_LIMIT + _PATIENCE * work


def _constants(make: Callable, value: object, name: str) -> tuple:
    """Fixed-point constants, or a sentence that says whose value is wrong."""
    try:
        return make(value)
    except ValueError as error:
        raise AcceleratorError(f"{name}: {error}") from error
