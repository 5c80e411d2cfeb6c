"""A functional model of the accelerator: registers, descriptors and memory in numpy, the same results bit for bit.

It refuses what the hardware refuses (`interface.descriptors`) and counts what follows from the work alone: words,
lines, rows, steps. It knows no time: counters of stalls and of cycles stay zero, and `cycle_accurate` says so.
"""

from __future__ import annotations

import numpy as np

from fineq.format.temporal import MAX_CYCLES, array_cycles
from fineq_hw.config import AcceleratorConfig, MacConfig
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
from fineq_hw.lib.axi import Response
from fineq_sim.driver.transport import DEFAULT_MEMORY, check_range, find_accelerator
from fineq_sim.reference import memory_image
from fineq_sim.reference.tile_walk import nest_tiles
from fineq_sim.reference.vector_unit import MAX_SHIFT, VectorSettings, vector_unit

TIMELESS: frozenset[str] = frozenset(
    {"cycles"} | {counter.name for counter in COUNTERS if counter.name.endswith("_stall")}
)
"""Counters that this model cannot know."""


class _Stop(Exception):
    """The chain ends with an error."""

    def __init__(self, code: ErrorCode, address: int, detail: int = 0) -> None:
        self.code, self.address, self.detail = code, address, detail


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
    fault_responses = (Response.SLVERR.value, Response.DECERR.value)

    def __init__(
        self, config: str | AcceleratorConfig, *, memory_base: int = 0, memory_size: int = DEFAULT_MEMORY
    ) -> None:
        self.config, self.memory_base, self.memory_size = find_accelerator(config), memory_base, memory_size
        self._memory = np.zeros(memory_size, dtype=np.uint8)
        self._by_offset = {
            register.offset + WORD_BYTES * word: (register, 32 * word)
            for register in REGISTERS.values()
            for word in range(register.words)
        }
        self._fault = (0, 0, Response.OKAY)
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
        self._memory[address - self.memory_base :][: len(content)] = content

    def read_memory(self, address: int, size: int) -> np.ndarray:
        check_range(self, address, size)
        return self._memory[address - self.memory_base :][:size].copy()

    def fault(self, address: int, size: int, response: int) -> None:
        """Make the memory answer accesses to a range with an AXI response (2 SLVERR, 3 DECERR); size 0: never."""
        self._fault = (address, size, Response(response))

    def _span(self, address: int, size: int, write: bool = False) -> np.ndarray:
        """A range as the machine sees it: a view, or the error that the bus answers with."""
        first, length, response = self._fault
        word = self.config.bus_bytes
        bad = None
        if address < first + length and first < address + size:
            bad = max(address, first) // word * word
        elif not self.memory_base <= address <= address + size <= self.memory_base + self.memory_size:
            response, bad = Response.DECERR, address
            if address >= self.memory_base:
                bad = max(address, self.memory_base + self.memory_size)
        if bad is not None:
            kind = "SLAVE" if response is Response.SLVERR else "DECODE"
            raise _Stop(ErrorCode[f"{'WRITE' if write else 'READ'}_{kind}_ERROR"], bad)
        start = address - self.memory_base
        return self._memory[start : start + size]

    def _rows(self, address: int, size: int, count: int, stride: int, write: bool = False) -> np.ndarray:
        """Views of `count` pieces of memory, uint8 [count, size]."""
        for row in range(count) if self._fault[1] else (0, count - 1):
            span = self._span(address + row * stride, size, write)
        del span
        start = address - self.memory_base
        return np.lib.stride_tricks.as_strided(self._memory[start:], (count, size), (stride, 1), writeable=write)

    # -- registers -------------------------------------------------------------------------------------------

    def write_register(self, address: int, value: int) -> bool:
        register, shift = self._by_offset.get(self._word(address), (None, 0))
        if register is None:
            return self._refuse(ErrorCode.UNMAPPED_WRITE, address)
        if not register.writable:
            return self._refuse(ErrorCode.READ_ONLY, address)
        if register.name == "CONTROL":
            return self._control(register.decode(value), address)
        if self._busy and register.name in ("MEMORY_BASE", "MEMORY_LIMIT"):
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
        if register.name.startswith("MEMORY_"):
            self._values[register.name] &= (1 << self.config.address_bits) - 1
        return True

    def read_register(self, address: int) -> int | None:
        register, shift = self._by_offset.get(self._word(address), (None, 0))
        if register is None:
            self._refuse(ErrorCode.UNMAPPED_READ, address)
            return None
        value = self._values[register.name]
        if register.name.startswith("COUNTER_"):
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
            self._end(_Stop(ErrorCode.ABORTED, self._values["CURRENT_DESCRIPTOR"]))
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

    def _end(self, stop: _Stop | None) -> None:
        self._next = None
        self._flag("busy", False)
        self._flag("done" if stop is None else "error")
        if stop is not None:
            self._values["ERROR"] = REGISTERS["ERROR"].encode(code=int(stop.code), detail=stop.detail)
            self._values["ERROR_ADDRESS"] = stop.address

    # -- work ------------------------------------------------------------------------------------------------

    def wait(self, cycles: int) -> bool:
        """Work off at most `cycles` jobs."""
        for _ in range(cycles):
            if self._interrupt or not self._busy:
                break
            try:
                self._job()
            except _Stop as stop:
                self._end(stop)
        return self._interrupt

    @property
    def _interrupt(self) -> bool:
        return bool(self._values["STATUS"] & self._values["INTERRUPT_ENABLE"])

    def _count(self, **events: int) -> None:
        for name, amount in events.items():
            self._values[f"COUNTER_{name.upper()}"] += amount

    def _job(self) -> None:
        address, window = self._next, (self._values["MEMORY_BASE"], self._values["MEMORY_LIMIT"])
        self._values["CURRENT_DESCRIPTOR"] = address
        refusal = check_address(address, *window)
        if refusal is None:
            descriptor = self._span(address, DESCRIPTOR_BYTES).tobytes()
            self._count_read(DESCRIPTOR_BYTES)
            refusal = check_descriptor(descriptor, address, self.config, *window)
        if refusal is not None:
            raise _Stop(refusal.code, address, refusal.detail)
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

    def _compute(self, job: dict[str, int]) -> None:
        config = self.config
        tokens, channels = job["tokens"], job["channels"]
        tiles, groups = inner_tiles(job["inner"], config), line_groups(job["inner"], config)
        inner = tiles * config.array.columns
        size = tiles * config.activation_tile_bytes
        rows = self._rows(job["activations"], size, tokens, job["activation_stride"])
        image = self._span(job["weights"], groups * config.weight_chunk_bytes(channels))
        weights = memory_image.read_weight_image(config, image, channels, groups)[:, :inner]
        # Integers far below 2^53: exact in float64, and fast.
        activations = memory_image.read_activations(config, rows, tiles)
        values = (activations.astype(np.float64) @ weights.astype(np.float64).T).astype(np.int64)
        output = OutputFormat(job["output_format"])
        if output is not OutputFormat.SUMS:
            span = self._span(job["channel_parameters"], channels * memory_image.CHANNEL_RECORD.itemsize)
            records = self._span(job["token_parameters"], -(-tokens // config.array.rows) * config.token_tile_bytes)
            channel, token = (
                memory_image.read_channels(span, channels),
                memory_image.read_tokens(config, records, tokens),
            )
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
        self._rows(job["destination"], content.shape[1], tokens, job["destination_stride"], write=True)[:] = content
        self._count_work(job, output, weights)

    # -- counters --------------------------------------------------------------------------------------------

    def _count_read(self, size: int, rows: int = 1) -> None:
        """Count `rows` pieces of `size` bytes, each a whole number of bus words."""
        words = rows * -(-size // self.config.bus_bytes)
        self._count(memory_access_busy=words, bytes_read=words * self.config.bus_bytes)

    def _count_work(self, job: dict[str, int], output: OutputFormat, weights: np.ndarray) -> None:
        config, array = self.config, self.config.array
        tokens, channels = job["tokens"], job["channels"]
        tiles, groups = inner_tiles(job["inner"], config), line_groups(job["inner"], config)
        token_tiles = -(-tokens // array.rows)
        vectors = token_tiles * tiles * channels
        steps = saved = vectors
        if isinstance(array, MacConfig):
            saved = 0
        else:
            by_tile = weights.reshape(channels, tiles, array.columns)
            steps = token_tiles * int(array_cycles(by_tile, array.encoding, bool(job["early_termination"])).sum())
            saved = vectors * MAX_CYCLES[array.encoding] - steps
        self._count(
            weight_vectors=vectors,
            terminated_cycles=saved,
            multiply_busy=steps,
            decode_busy=token_tiles * groups * channels,
        )
        for tile in nest_tiles(config, tokens, channels):
            rows, width = tile.tokens, tile.channels
            self._count(
                tiles=tiles,
                preload_busy=tiles * rows,
                vector_busy=rows * -(-width // config.vector_lanes),
                write_back_busy=rows * -(-width * result_bytes(output) // config.bus_bytes),
                bytes_written=rows * width * result_bytes(output),
            )
            self._count_read(config.activation_tile_bytes, tiles * rows)
            self._count_read(config.weight_chunk_bytes(width), groups)
            if output is not OutputFormat.SUMS:
                self._count_read(memory_image.CHANNEL_RECORD.itemsize * width)
                self._count_read(memory_image.TOKEN_RECORD.itemsize * rows)
