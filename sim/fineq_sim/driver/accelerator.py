"""The driver: packed layers into device memory, descriptors to the machine, results and counters back.

    machine = Accelerator(VerilatedTransport("accelerator_64x64"))
    layer = machine.load_linear(packed)
    result = machine.run(layer, activations)        # int8 [M, K] in, result.values int32 [M, N] out

The transport decides what computes: the RTL under Verilator or cocotb, or the functional model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

import fineq.format as block_format
from fineq.format import MAX_MAGNITUDE
from fineq_hw.config import MacConfig
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, FIELDS, decode_descriptor, encode_descriptor, inner_tiles
from fineq_hw.interface.error_codes import ErrorCode
from fineq_hw.interface.jobs import FRACTION_BITS, ActivationFunction, OutputFormat, result_bytes
from fineq_hw.interface.registers import STAGES
from fineq_sim.driver.exceptions import AcceleratorError, AcceleratorTimeout
from fineq_sim.driver.jobs import Counters, Job, Linear, Result
from fineq_sim.driver.memory import Allocator
from fineq_sim.driver.registers import RegisterPort, describe, discover, error_name
from fineq_sim.driver.transport import Transport
from fineq_sim.reference import memory_image
from fineq_sim.reference.vector_unit import fixed_point_scales, requantize_constants, to_fixed

if TYPE_CHECKING:  # torch is not needed here, and slow to load
    from fineq.quantizer.packed import PackedWeight

_PATIENCE = 50
"""A job may take so many times the cycles of its steps and of its words before the driver gives up."""

BUS_ERRORS = ErrorCode.READ_SLAVE_ERROR.value
"""From this code on, an error arose while the machine was working."""

_SHORTEST_LIMIT = 100_000
_IDLE_LIMIT = 100_000
"""Cycles that an abort may take."""


class Accelerator:
    """A FineQ accelerator or its MAC baseline; what it is like, it says itself (`config`).

    Args:
        transport: see `fineq_sim.driver`.

    Raises:
        AcceleratorError: there is no accelerator behind the transport, or one of another version.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.registers = RegisterPort(transport)
        self.config = discover(self.registers)
        end = transport.memory_base + transport.memory_size
        if end > 1 << self.config.address_bits:
            raise AcceleratorError(
                f"the memory ends at {end:#x}: the accelerator's addresses have {self.config.address_bits} bits"
            )
        self.memory = Allocator(transport.memory_base, transport.memory_size)
        self._configure()

    def _configure(self) -> None:
        base = self.transport.memory_base
        self.registers.write("MEMORY_BASE", base)
        self.registers.write("MEMORY_LIMIT", base + self.transport.memory_size - 1)
        self.registers.write("INTERRUPT_ENABLE", done=1, error=1)
        self._clear_flags()

    def _clear_flags(self) -> None:
        self.registers.write("STATUS", done=1, error=1, access_error=1, job_done=1)

    # -- layers ----------------------------------------------------------------------------------------------

    def load_linear(self, packed: PackedWeight, bias: np.ndarray | None = None, name: str = "layer") -> Linear:
        """Put a packed layer into device memory; a MAC accelerator gets its integers unpacked.

        Args:
            packed: [N, K], quantized along rows.
            bias: [N], real numbers; used by the outputs `fixed` and `int8`.
            name: for messages.

        Raises:
            AcceleratorError: a column-wise matrix, scales or bias that the records cannot hold, no memory left.
        """
        if packed.axis != "row":
            raise AcceleratorError(
                f"{name} is quantized by columns, which the hardware cannot compute: use a row-wise recipe"
            )
        if isinstance(self.config.array, MacConfig):
            return self.load_integers(packed.codes().numpy(), packed.scales.numpy(), bias, name)
        blocks = packed.blocks.cpu().numpy()
        return self._load(blocks, packed.shape, packed.scales.cpu().numpy(), bias, name)

    def load_integers(
        self, codes: np.ndarray, scales: np.ndarray, bias: np.ndarray | None = None, name: str = "layer"
    ) -> Linear:
        """Put integer weights into device memory: for the MAC accelerators, whose weights may have 8 bits.

        Args:
            codes: integers [N, K], within the accelerator's weight width.
            scales: float [N].
            bias, name: see `load_linear`.

        Raises:
            AcceleratorError: as `load_linear`; a weight that does not fit.
            FineqError: weights that do not fit the packed format, for a temporal-coding array.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or not codes.size:
            raise AcceleratorError(f"{name} has weights of shape {list(codes.shape)}: they must be [N, K], not empty")
        wide = isinstance(self.config.array, MacConfig) and self.config.array.weight_bits == 8
        low, high = (-128, 127) if wide else (-MAX_MAGNITUDE, MAX_MAGNITUDE)
        if codes.min() < low or codes.max() > high:
            raise AcceleratorError(
                f"{name} has weights from {codes.min()} to {codes.max()}: the array takes {low} to {high}"
            )
        weights = codes if isinstance(self.config.array, MacConfig) else block_format.pack(codes)
        return self._load(weights, codes.shape, scales, bias, name)

    def _load(self, weights: np.ndarray, shape: tuple[int, int], scales: np.ndarray, bias, name: str) -> Linear:
        channels, inner = shape
        try:
            multipliers, shifts = fixed_point_scales(np.broadcast_to(scales, (channels,)))
            biases = np.zeros(channels) if bias is None else to_fixed(np.asarray(bias))
        except ValueError as error:
            raise AcceleratorError(f"{name}: {error}") from error
        image = memory_image.weight_image(self.config, weights, inner)
        address = self._store(image, f"the weights of {name}")
        try:
            records = self._store(memory_image.channel_image(multipliers, shifts, biases), f"the scales of {name}")
        except AcceleratorError:
            self.memory.free(address)
            raise
        return Linear(name, channels, inner, address, records, len(image))

    def unload(self, layer: Linear) -> None:
        """Give a layer's memory back; the handle is void afterwards."""
        self.memory.free(layer.weights)
        self.memory.free(layer.parameters)

    def _store(self, image: np.ndarray, purpose: str) -> int:
        address = self.memory.allocate(len(image), purpose)
        self.transport.write_memory(address, image)
        return address

    # -- runs ------------------------------------------------------------------------------------------------

    def run(self, layer: Linear, activations: np.ndarray, *, limit: int | None = None, **options) -> Result:
        """Run a layer.

        Args:
            layer: from `load_linear`.
            activations: int8 [M, K].
            limit: cycles after which the driver gives up; generous if None.
            options: the other attributes of `Job`.

        Raises:
            AcceleratorError: something is wrong with the job; the text has the hardware's reason if it refused.
            AcceleratorTimeout: no answer in `limit` cycles. The machine has been reset.
        """
        return self.run_chain([Job(layer, activations, **options)], limit=limit)[0]

    def run_chain(self, jobs: Sequence[Job], *, limit: int | None = None) -> list[Result]:
        """Run jobs as one chain of descriptors; arguments and errors as `run`."""
        if not jobs:
            return []
        taken: list[int] = []
        try:
            descriptors, places = self._descriptors(jobs, taken)
            first = self.memory.allocate(DESCRIPTOR_BYTES * len(jobs), "the descriptors")
            taken.append(first)
            for number, fields in enumerate(descriptors):
                fields |= {"next": first + DESCRIPTOR_BYTES * (number + 1), "last": 0, "tag": number}
            descriptors[-1] |= {"next": 0, "last": 1}
            chain = b"".join(encode_descriptor(**fields) for fields in descriptors)
            self.transport.write_memory(first, np.frombuffer(chain, dtype=np.uint8))
            counters = self.run_descriptors(first, limit or self._limit(jobs), [job.layer.name for job in jobs])
            results = []
            for job, (address, stride, size) in zip(jobs, places, strict=True):
                image = self.transport.read_memory(address, stride * len(job.activations))
                element = np.dtype(f"<i{size}")
                values = memory_image.read_results(image, len(job.activations), job.layer.channels, stride, element)
                step = {"sums": None, "fixed": 2.0**-FRACTION_BITS, "int8": job.output_scale}[job.output]
                results.append(Result(values, step, counters))
            return results
        finally:
            for address in taken:
                self.memory.free(address)

    def run_descriptors(self, first: int, limit: int, names: Sequence[str] = ()) -> Counters:
        """Run a chain of descriptors that is in memory already.

        Args:
            first: address of the first one.
            limit: cycles after which the driver gives up.
            names: of the jobs, for messages; the descriptors then lie one behind the other.

        Raises:
            AcceleratorError, AcceleratorTimeout: see `run`.
        """
        self._clear_flags()
        self.registers.write("DESCRIPTOR", first)
        self.registers.write("CONTROL", start=1, clear_counters=1)
        if not self.transport.wait(limit):
            text = self._what_it_does(limit, first, names)
            self.reset()
            raise AcceleratorTimeout(text)
        status = self.registers.fields("STATUS")
        if status["error"]:
            raise self._refusal(first, names)
        return Counters(self.registers.counters(), self.transport.cycle_accurate)

    def reset(self) -> None:
        """Bring the machine to rest, by an abort if that works, else by the reset line. Layers stay loaded."""
        self.registers.write("CONTROL", soft_reset=1)
        if self.registers.fields("STATUS")["busy"]:
            self.transport.wait(_IDLE_LIMIT)
        if self.registers.fields("STATUS")["busy"]:
            self.transport.reset()
            self._configure()
        self._clear_flags()

    # -- descriptors -----------------------------------------------------------------------------------------

    def _descriptors(self, jobs: Sequence[Job], taken: list[int]) -> tuple[list[dict], list[tuple[int, int, int]]]:
        """Fields of each job's descriptor, and address, stride and element size of its results.

        Addresses of allocated memory are added to `taken`.
        """
        copies: dict[int, int] = {}
        tokens_of: dict[int, int] = {}
        descriptors, places = [], []
        for job in jobs:
            self._check(job)
            layer, tokens = job.layer, len(job.activations)
            inner = memory_image.stored_inner(layer.inner, self.config)
            if id(job.activations) not in copies:
                image = memory_image.activation_image(self.config, job.activations)
                copies[id(job.activations)] = self._store(image, f"the activations of {layer.name}")
                taken.append(copies[id(job.activations)])
            output = OutputFormat[job.output.upper()]
            size = result_bytes(output)
            stride = memory_image.result_stride(layer.channels, np.dtype(f"i{size}"))
            destination = self.memory.allocate(stride * tokens, f"the results of {layer.name}")
            taken.append(destination)
            fields = {
                "output_format": output,
                "function": ActivationFunction[job.function.upper()],
                "early_termination": job.early_termination,
                "tokens": tokens,
                "channels": layer.channels,
                "inner": inner,
                "activations": copies[id(job.activations)],
                "activation_stride": inner_tiles(inner, self.config) * self.config.activation_tile_bytes,
                "weights": layer.weights,
                "destination": destination,
                "destination_stride": stride,
            }
            if output is not OutputFormat.SUMS:
                if id(job.scales) not in tokens_of:
                    image = memory_image.token_image(
                        self.config, *_constants(fixed_point_scales, job.scales, layer.name)
                    )
                    tokens_of[id(job.scales)] = self._store(image, f"the token scales of {layer.name}")
                    taken.append(tokens_of[id(job.scales)])
                fields |= {"channel_parameters": layer.parameters, "token_parameters": tokens_of[id(job.scales)]}
            if output is OutputFormat.INT8:
                multiplier, shift = _constants(requantize_constants, job.output_scale, layer.name)
                fields |= {"requantize_multiplier": multiplier, "requantize_shift": shift}
            descriptors.append(fields)
            places.append((destination, stride, size))
        return descriptors, places

    @staticmethod
    def _check(job: Job) -> None:
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
        if job.output != "sums" and np.shape(job.scales) != (len(activations),):
            raise AcceleratorError(
                f"the output {job.output} of {name} needs `scales`, one for each of the {len(activations)} tokens"
            )
        if job.output == "int8" and job.output_scale is None:
            raise AcceleratorError(f"the output int8 of {name} needs `output_scale`, what one step stands for")

    def _limit(self, jobs: Sequence[Job]) -> int:
        """Cycles that a chain may take."""
        work = 0
        for job in jobs:
            token_tiles = -(-len(job.activations) // self.config.array.rows)
            inner = memory_image.stored_inner(job.layer.inner, self.config)
            vectors = token_tiles * inner_tiles(inner, self.config) * job.layer.channels
            values = job.activations.size + 4 * len(job.activations) * job.layer.channels
            work += vectors * MAX_MAGNITUDE + (values + token_tiles * job.layer.image_bytes) // self.config.bus_bytes
        return _SHORTEST_LIMIT + _PATIENCE * work

    # -- messages --------------------------------------------------------------------------------------------

    def _which(self, first: int, names: Sequence[str]) -> tuple[str, int]:
        """Where in a chain the machine is, in words and as an address."""
        current = self.registers.read("CURRENT_DESCRIPTOR")
        number = (current - first) // DESCRIPTOR_BYTES
        if 0 <= number < len(names):
            return f"job {number + 1} of {len(names)} ({names[number]})", current
        return f"the descriptor at {current:#x}", current

    def _refusal(self, first: int, names: Sequence[str]) -> AcceleratorError:
        error, address = self.registers.fields("ERROR"), self.registers.read("ERROR_ADDRESS")
        which, current = self._which(first, names)
        name = error_name(error["code"]) or ""
        # The longest name of a field in the name of the code: TOKENS_TOO_LARGE is about `tokens`.
        field_name = max((each for each in FIELDS if each in name.lower()), key=len, default=None)
        verb = "gave up" if error["code"] >= BUS_ERRORS else "refused"
        text = f"the accelerator {verb} {which}: {describe(error['code'])}"
        if field_name is not None:
            content = self.transport.read_memory(current, DESCRIPTOR_BYTES).tobytes()
            value = decode_descriptor(content)[field_name]
            text += f" The field {field_name} is {value} ({value:#x})."
        elif address != current:
            text += f" The address is {address:#x}."
        self._clear_flags()
        return AcceleratorError(text, code=name or None, field=field_name, address=address)

    def _what_it_does(self, limit: int, first: int, names: Sequence[str]) -> str:
        which, _ = self._which(first, names)
        counters = self.registers.counters()
        stages = "; ".join(
            f"{stage.replace('_', ' ')} busy {counters[f'{stage}_busy']}, stalled {counters[f'{stage}_stall']}"
            for stage in STAGES
        )
        state = "busy" if self.registers.fields("STATUS")["busy"] else "idle"
        return (
            f"no answer after {limit} cycles: the machine is {state} at {which}, {counters['jobs']} jobs done, "
            f"{counters['tiles']} tiles begun. Cycles by stage: {stages}"
        )


def _constants(make, value, name: str):
    """Fixed-point constants, or a sentence that says whose value is wrong."""
    try:
        return make(value)
    except ValueError as error:
        raise AcceleratorError(f"{name}: {error}") from error
