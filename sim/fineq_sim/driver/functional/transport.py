"""A functional model of the accelerator: registers, descriptors and memory in numpy, the same results bit for bit.

It refuses what the hardware refuses (`interface.descriptors`) and counts what follows from the work alone: words,
lines, rows, steps. It knows no time: counters of stalls and of cycles stay zero, and `cycle_accurate` says so.
"""

from __future__ import annotations

import numpy as np

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.bus import Response
from fineq_hw.interface.descriptors import (
    DESCRIPTOR_BYTES,
    check_address,
    check_descriptor,
    decode_descriptor,
    inner_tiles,
    line_groups,
)
from fineq_hw.interface.error_codes import ErrorCode
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat, result_bytes
from fineq_hw.interface.registers import ADDRESS_BITS, COUNTERS, REGISTERS, WORD_BYTES, Access
from fineq_hw.interface.registers.counters import COUNTER_REGISTERS
from fineq_sim.driver.functional.counters import job_counters, read_counters
from fineq_sim.driver.functional.memory import FunctionalMemory, Stop
from fineq_sim.driver.transport import DEFAULT_MEMORY, check_range, find_accelerator
from fineq_sim.reference import memory_image
from fineq_sim.reference.vector_unit import MAX_SHIFT, VectorSettings, vector_unit


class FunctionalTransport:
    """An accelerator without time.

    A started chain is worked off in `wait`, so that a start while busy can be seen.

    Args:
        config: name of an accelerator, or its parameters.
        memory_base, memory_size: of the memory, bytes.

    Raises:
        ValueError: unknown accelerator.
    """

    cycle_accurate = False
    fault_responses: tuple[int, ...] = (Response.SLVERR.value, Response.DECERR.value)

    def __init__(
        self, config: str | AcceleratorConfig, *, memory_base: int = 0, memory_size: int = DEFAULT_MEMORY
    ) -> None:
        self.config, self.memory_base, self.memory_size = find_accelerator(config), memory_base, memory_size
        self._memory = FunctionalMemory(memory_base, memory_size, self.config.bus_bytes)
        self._by_offset = {
            register.offset + WORD_BYTES * word: (register, 32 * word)
            for register in REGISTERS.values()
            for word in range(register.words)
        }
        self.reset()

    def __enter__(self) -> FunctionalTransport:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to let go."""

    def reset(self) -> None:
        self._values = {name: register.reset(self.config) for name, register in REGISTERS.items()}
        self._next: int | None = None  # descriptor to fetch
        self._high = 0  # word held by reading the low word of a counter

    # -- memory ----------------------------------------------------------------------------------------------

    def write_memory(self, address: int, content: np.ndarray) -> None:
        check_range(self, address, len(content))
        self._memory.write(address, content)

    def read_memory(self, address: int, size: int) -> np.ndarray:
        check_range(self, address, size)
        return self._memory.read(address, size)

    def fault(self, address: int, size: int, response: int) -> None:
        """Make the memory answer accesses to a range with an AXI response (2 SLVERR, 3 DECERR); size 0: never."""
        self._memory.fault(address, size, Response(response))

    # -- registers -------------------------------------------------------------------------------------------

    def write_register(self, address: int, value: int) -> bool:
        register, shift = self._by_offset.get(self._word(address), (None, 0))
        if register is None:
            return self._refuse(ErrorCode.UNMAPPED_WRITE, address)
        if not register.writable:
            return self._refuse(ErrorCode.READ_ONLY, address)
        if register.name == "CONTROL":
            return self._control(register.decode(value), address)
        if self._busy and register.locked:
            return self._refuse(ErrorCode.WRITE_WHILE_BUSY, address)
        for field in register.fields:
            mask = field.mask & (0xFFFFFFFF << shift)
            written = (value << shift) & mask
            if field.access is Access.RW:
                self._values[register.name] = self._values[register.name] & ~mask | written
            elif field.access is Access.W1C and written:
                self._values[register.name] &= ~written
                if field.name in ("error", "access_error"):
                    self._values[field.name.upper()] = 0
                    if field.name == "error":
                        self._values["ERROR_ADDRESS"] = 0
        if register.locked:
            self._values[register.name] &= (1 << self.config.address_bits) - 1
        return True

    def read_register(self, address: int) -> int | None:
        register, shift = self._by_offset.get(self._word(address), (None, 0))
        if register is None:
            self._refuse(ErrorCode.UNMAPPED_READ, address)
            return None
        value = self._values[register.name]
        if register in COUNTER_REGISTERS:
            if not shift:
                self._high = value >> 32
            return self._high if shift else value & 0xFFFFFFFF
        return value >> shift & 0xFFFFFFFF

    @staticmethod
    def _word(address: int) -> int:
        return address % (1 << ADDRESS_BITS) // WORD_BYTES * WORD_BYTES

    @property
    def _busy(self) -> bool:
        return self._next is not None

    def _flag(self, name: str, value: bool = True) -> None:
        status = REGISTERS["STATUS"].field(name).mask
        self._values["STATUS"] = self._values["STATUS"] & ~status | (status if value else 0)

    def _refuse(self, code: ErrorCode, address: int) -> bool:
        """Record an access that is not allowed; the first one stays."""
        if not self._values["ACCESS_ERROR"]:
            register = REGISTERS["ACCESS_ERROR"]
            self._values["ACCESS_ERROR"] = register.encode(code=int(code), register=self._word(address))
        self._flag("access_error")
        return False

    def _control(self, commands: dict[str, int], address: int) -> bool:
        if commands["start"] and self._busy:  # nothing of the write is done
            return self._refuse(ErrorCode.START_WHILE_BUSY, address)
        if commands["soft_reset"] and self._busy:
            self._end(Stop(ErrorCode.ABORTED, self._values["CURRENT_DESCRIPTOR"]))
        if commands["clear_counters"]:
            for counter in COUNTERS:
                self._values[f"COUNTER_{counter.name.upper()}"] = 0
        if not commands["start"]:
            return True
        self._next = self._values["DESCRIPTOR"]
        self._values["ERROR"] = self._values["ERROR_ADDRESS"] = 0
        for flag in ("done", "job_done", "error"):
            self._flag(flag, False)
        self._flag("busy")
        return True

    def _end(self, stop: Stop | None) -> None:
        self._next = None
        self._flag("busy", False)
        self._flag("done" if stop is None else "error")
        if stop is not None:
            self._values["ERROR"] = REGISTERS["ERROR"].encode(code=int(stop.code), detail=stop.detail)
            self._values["ERROR_ADDRESS"] = stop.address

    # -- for those that follow another machine -----------------------------------------------------------------

    @property
    def values(self) -> dict[str, int]:
        """All registers by name; they may be changed."""
        return self._values

    @property
    def busy(self) -> bool:
        return self._busy

    def work(self) -> None:
        """Work off one job, whatever the interrupt says."""
        try:
            self._job()
        except Stop as stop:
            self._end(stop)

    def cut_off(self, code: ErrorCode, address: int) -> None:
        """End the chain with an error."""
        self._end(Stop(code, address))

    # -- work ------------------------------------------------------------------------------------------------

    def wait(self, cycles: int) -> bool:
        """Work off at most `cycles` jobs."""
        for _ in range(cycles):
            if self._interrupt or not self._busy:
                break
            self.work()
        return self._interrupt

    @property
    def _interrupt(self) -> bool:
        return bool(self._values["STATUS"] & self._values["INTERRUPT_ENABLE"])

    def _count(self, **events: int) -> None:
        for name, amount in events.items():
            self._values[f"COUNTER_{name.upper()}"] += amount

    def _job(self) -> None:
        assert self._next is not None
        address, window = self._next, (self._values["MEMORY_BASE"], self._values["MEMORY_LIMIT"])
        self._values["CURRENT_DESCRIPTOR"] = address
        refusal = check_address(address, *window)
        if refusal is None:
            descriptor = self._memory.span(address, DESCRIPTOR_BYTES).tobytes()
            self._count(**read_counters(self.config, DESCRIPTOR_BYTES))
            refusal = check_descriptor(descriptor, address, self.config, *window)
        if refusal is not None:
            raise Stop(refusal.code, address, refusal.detail)
        job = decode_descriptor(descriptor)
        self._compute(job)
        self._values["JOBS_DONE"] = (self._values["JOBS_DONE"] + 1) & 0xFFFFFFFF
        self._values["TAG"] = job["tag"]
        self._count(jobs=1)
        if job["interrupt"]:
            self._flag("job_done")
        self._next = job["next"]
        if job["last"]:
            self._end(None)

    def sums(self, activations: np.ndarray, weights: np.ndarray, early_termination: bool) -> np.ndarray:
        """int8 [M, K] times int8 [N, K] transposed, int64 [M, N]; K is a whole number of tiles, in array order.

        What a subclass may have done by something else, such as a core on a board.
        """
        # Integers far below 2^53: exact in float64, and fast.
        return (activations.astype(np.float64) @ weights.astype(np.float64).T).astype(np.int64)

    def _compute(self, job: dict[str, int]) -> None:
        config = self.config
        tokens, channels = job["tokens"], job["channels"]
        tiles, groups = inner_tiles(job["inner"], config), line_groups(job["inner"], config)
        inner = tiles * config.array.columns
        size = tiles * config.activation_tile_bytes
        rows = self._memory.rows(job["activations"], size, tokens, job["activation_stride"])
        image = self._memory.span(job["weights"], groups * config.weight_chunk_bytes(channels))
        weights = memory_image.read_weight_image(config, image, channels, groups)[:, :inner]
        values = self.sums(memory_image.read_activations(config, rows, tiles), weights, bool(job["early_termination"]))
        output = OutputFormat(job["output_format"])
        if output is not OutputFormat.SUMS:
            span = self._memory.span(job["channel_parameters"], channels * memory_image.CHANNEL_RECORD.itemsize)
            size = -(-tokens // config.array.rows) * config.token_tile_bytes
            records = self._memory.span(job["token_parameters"], size)
            channel = memory_image.read_channels(span, channels)
            token = memory_image.read_tokens(config, records, tokens)
            settings = VectorSettings(
                output,
                ActivationFunction(job["function"]),
                job["requantize_multiplier"],
                job["requantize_shift"],
            )
            values = vector_unit(
                settings,
                values,
                channel["multiplier"],
                channel["shift"] & MAX_SHIFT,
                channel["bias"],
                token["multiplier"],
                token["shift"] & MAX_SHIFT,
            )
        element = np.dtype(f"<i{result_bytes(output)}")
        content = np.ascontiguousarray(values.astype(element)).view(np.uint8)
        results = self._memory.rows(job["destination"], content.shape[1], tokens, job["destination_stride"], write=True)
        results[:] = content
        self._count(**job_counters(config, job, weights))
