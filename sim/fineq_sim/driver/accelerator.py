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
from numpy.typing import ArrayLike

import fineq.format as block_format
from fineq_hw.config import MacConfig
from fineq_hw.interface.jobs import FRACTION_BITS
from fineq_hw.interface.registers import WORD_BITS
from fineq_sim.driver.chain import Chain, chain_limit
from fineq_sim.driver.diagnosis import refusal, what_it_does
from fineq_sim.driver.exceptions import AcceleratorError, AcceleratorTimeout
from fineq_sim.driver.jobs import Counters, Job, Linear, Result, StoredPart
from fineq_sim.driver.memory import Allocator
from fineq_sim.driver.registers import RegisterPort, discover
from fineq_sim.driver.split import part_weights, parts_of
from fineq_sim.driver.transport import Transport
from fineq_sim.reference import memory_image
from fineq_sim.reference.vector_unit import fixed_point_scales, to_fixed

if TYPE_CHECKING:  # torch is not needed here, and slow to load
    from fineq.quantizer.packed import PackedWeight


_IDLE_LIMIT = 100_000
"""Cycles that an abort may take."""

_LEFTOVER_LIMIT, _LEFTOVER_STEP = 2_000, 50
"""Cycles that the memory is given, after a reset, to end what it has begun; how often the driver looks."""

_SILENT_LIMIT = 10_000
"""Cycles without a sign of life after which an abort gives up the memory."""


class Accelerator:
    """A FineQ accelerator or its MAC baseline; what it is like, it says itself (`config`).

    Layers with more channels or inputs than a descriptor may have are cut (`fineq_sim.driver.split`), exactly.

    Args:
        transport: see `fineq_sim.driver`.
        watchdog: cycles without a sign of life from the memory after which the machine gives up; 0: never.

    Raises:
        AcceleratorError: there is no accelerator behind the transport, or one of another version.
    """

    def __init__(self, transport: Transport, *, watchdog: int = 0) -> None:
        if not 0 <= watchdog < 1 << WORD_BITS:
            raise AcceleratorError(f"watchdog is {watchdog}: a number of cycles below 2^{WORD_BITS}, 0 for none")
        self.transport, self.watchdog = transport, watchdog
        self.registers = RegisterPort(transport)
        self.config = discover(self.registers)
        end = transport.memory_base + transport.memory_size
        if end > 1 << self.config.address_bits:
            raise AcceleratorError(
                f"the memory ends at {end:#x}: the accelerator's addresses have {self.config.address_bits} bits"
            )
        self.memory = Allocator(transport.memory_base, transport.memory_size)
        self._configure()
        if not self.registers.fields("STATUS")["busy"]:
            self._wait_for_memory()

    def _configure(self) -> None:
        base = self.transport.memory_base
        self.registers.write("MEMORY_BASE", base)
        self.registers.write("MEMORY_LIMIT", base + self.transport.memory_size - 1)
        self.registers.write("INTERRUPT_ENABLE", done=1, error=1)
        self.registers.write("WATCHDOG", self.watchdog)
        self._clear_flags()

    def _wait_for_memory(self) -> None:
        """After a reset: let the memory end what it has begun, so that no late write meets new contents."""
        for _ in range(_LEFTOVER_LIMIT // _LEFTOVER_STEP):
            if not self.registers.fields("STATUS")["memory_pending"]:
                return
            self.transport.wait(_LEFTOVER_STEP)

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
        self, codes: np.ndarray, scales: ArrayLike, bias: np.ndarray | None = None, name: str = "layer"
    ) -> Linear:
        """Put integer weights into device memory: for the MAC accelerators, whose weights may have 8 bits.

        Args:
            codes: integers [N, K], within the accelerator's weight width.
            scales: float [N], or one for all.
            bias, name: see `load_linear`.

        Raises:
            AcceleratorError: as `load_linear`; a weight that does not fit.
            FineqError: weights that do not fit the packed format, for a temporal-coding array.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or not codes.size:
            raise AcceleratorError(f"{name} has weights of shape {list(codes.shape)}: they must be [N, K], not empty")
        low, high = self.config.array.weight_limits
        if codes.min() < low or codes.max() > high:
            raise AcceleratorError(
                f"{name} has weights from {codes.min()} to {codes.max()}: the array takes {low} to {high}"
            )
        weights = codes if isinstance(self.config.array, MacConfig) else block_format.pack(codes)
        return self._load(weights, codes.shape, scales, bias, name)

    def _load(
        self, weights: np.ndarray, shape: Sequence[int], scales: ArrayLike, bias: np.ndarray | None, name: str
    ) -> Linear:
        channels, inner = shape
        try:
            multipliers, shifts = fixed_point_scales(np.broadcast_to(scales, (channels,)))
            biases = np.zeros(channels) if bias is None else to_fixed(np.asarray(bias))
        except ValueError as error:
            raise AcceleratorError(f"{name}: {error}") from error
        taken: list[int] = []
        parts = []
        try:
            for part in parts_of(channels, inner, self.config):
                image = memory_image.weight_image(self.config, part_weights(weights, part, self.config), part.width)
                taken.append(self._store(image, f"the weights of {name}"))
                records = (values[part.channels] for values in (multipliers, shifts, biases))
                taken.append(self._store(memory_image.channel_image(*records), f"the scales of {name}"))
                parts.append(StoredPart(part.channels, part.inputs, taken[-2], taken[-1], len(image)))
        except AcceleratorError:
            for address in taken:
                self.memory.free(address)
            raise
        return Linear(name, channels, inner, tuple(parts))

    def unload(self, layer: Linear) -> None:
        """Give a layer's memory back; the handle is void afterwards."""
        for part in layer.parts:
            self.memory.free(part.weights)
            self.memory.free(part.parameters)

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
        chain = Chain(jobs, self.config, self.memory, self.transport)
        try:
            limit = limit or chain_limit(jobs, self.config)
            counters = self.run_descriptors(chain.link(), limit, chain.names)
            steps = {"sums": lambda job: None, "fixed": lambda job: 2.0**-FRACTION_BITS}
            return [
                Result(values, steps.get(job.output, lambda job: job.output_scale)(job), counters)
                for job, values in zip(jobs, chain.results(), strict=True)
            ]
        finally:
            chain.free()

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
            text = what_it_does(self.registers, limit, first, names)
            self.reset()
            raise AcceleratorTimeout(text)
        status = self.registers.fields("STATUS")
        if status["error"]:
            error = refusal(self.transport, self.registers, first, names)
            self._clear_flags()
            raise error
        return Counters(self.registers.counters(), self.transport.cycle_accurate)

    def reset(self) -> None:
        """Bring the machine to rest. Layers stay loaded.

        By an abort; if the memory does not let it end, by the watchdog; else by the reset line, which is the
        accelerator's alone: the machine remembers what the memory still owes (docs/hardware/integration.md).
        """
        self.registers.write("CONTROL", soft_reset=1)
        if self.registers.fields("STATUS")["busy"]:
            self.transport.wait(_IDLE_LIMIT)
        if self.registers.fields("STATUS")["busy"]:
            self.registers.write("WATCHDOG", _SILENT_LIMIT)
            self.transport.wait(_IDLE_LIMIT)
            self.registers.write("WATCHDOG", self.watchdog)
        if self.registers.fields("STATUS")["busy"]:
            self.transport.reset()
            self._configure()
        self._clear_flags()
        self._wait_for_memory()
