"""The C driver, compiled for this machine, in front of any transport.

The processor's memory is a buffer of its own; it meets the transport's memory in `clean` and `drop` alone, as behind a
data cache that is not coherent. A clean or a drop that the driver forgets gives wrong results.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fineq_hw.driver_c.files import SOURCES, write_driver
from fineq_hw.interface.registers import REGISTERS
from fineq_sim.driver.transport import Transport

FLAGS = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion")
BASE, SIZE = 0x1000, 1 << 18


def compiled(directory: Path) -> ctypes.CDLL:
    """The driver and `host_driver.c` as a library; skips without a C compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc on the PATH")
    write_driver(directory)
    library = directory / "host.so"
    files = [*(directory / name for name in SOURCES), Path(__file__).with_name("host_driver.c")]
    subprocess.run(
        ["gcc", *FLAGS, "-shared", "-fPIC", "-I", str(directory), *map(str, files), "-o", str(library)], check=True
    )
    return ctypes.CDLL(str(library))


_READ = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32)
_WRITE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)
_RANGE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


def _pointer(array: np.ndarray | None) -> ctypes.c_void_p | None:
    return None if array is None else ctypes.c_void_p(array.ctypes.data)


def float_bits(values: np.ndarray) -> np.ndarray:
    """Bits of float32 values."""
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)


class HostDriver:
    """A machine as the C driver sees it.

    Args:
        library: from `compiled`.
        transport: the machine.
        patience: cycles or jobs that pass with every look at STATUS.
        size: bytes of shared memory.
    """

    def __init__(self, library: ctypes.CDLL, transport: Transport, patience: int = 1, size: int = SIZE) -> None:
        self.library, self.transport, self.patience = library, transport, patience
        self.memory = np.zeros(size + 16, dtype=np.uint8)
        start = -self.memory.ctypes.data % 16
        self.memory = self.memory[start : start + size]
        self.memory[:] = 0xA5
        self._hooks = (_READ(self._read), _WRITE(self._write), _RANGE(self._clean), _RANGE(self._drop))
        self._kept: list[np.ndarray] = []
        library.host_failure.restype = ctypes.c_char_p
        library.host_counter.restype = ctypes.c_uint64
        library.host_planned.restype = library.host_used.restype = ctypes.c_size_t

    def probe(self, base: int = BASE) -> int:
        size = ctypes.c_size_t(len(self.memory))
        return self.library.host_probe(*self._hooks, _pointer(self.memory), ctypes.c_uint64(base), size)

    def load(self, number, blocks, inner, scales=None, biases=None) -> int:
        scales = None if scales is None else float_bits(scales)
        biases = None if biases is None else np.ascontiguousarray(biases, dtype=np.int32)
        blocks = np.ascontiguousarray(blocks)
        packed, plain = (_pointer(blocks), None) if blocks.dtype == np.uint8 else (None, _pointer(blocks))
        return self.library.host_load(number, packed, plain, len(blocks), inner, _pointer(scales), _pointer(biases))

    def job(self, number, layer, activations, scales=None, output=0, function=0, requantize=(0, 0)) -> int:
        scales = None if scales is None else float_bits(scales)
        self._kept += [activations]
        return self.library.host_job(
            number, layer, _pointer(activations), len(activations), _pointer(scales), output, function, *requantize
        )

    def run(self, count: int, polls: int = 1000) -> int:
        return self.library.host_run(count, polls)

    def results(self, number: int, shape: tuple[int, int]) -> np.ndarray:
        values = np.zeros(shape, dtype=np.int32)
        self.library.host_results(number, _pointer(values))
        return values

    def _read(self, _: object, offset: int) -> int:
        if offset == REGISTERS["STATUS"].offset:
            self.transport.wait(self.patience)
        value = self.transport.read_register(offset)
        return 0xFFFFFFFF if value is None else value

    def _write(self, _: object, offset: int, value: int) -> None:
        assert self.transport.write_register(offset, value), f"the write to {offset:#x} is refused"

    def _span(self, start: int, size: int) -> slice:
        first = start - self.memory.ctypes.data
        assert 0 <= first <= first + size <= len(self.memory)
        return slice(first, first + size)

    def _clean(self, _: object, start: int, size: int) -> None:
        span = self._span(start, size)
        self.transport.write_memory(BASE + span.start, self.memory[span])

    def _drop(self, _: object, start: int, size: int) -> None:
        span = self._span(start, size)
        self.memory[span] = self.transport.read_memory(BASE + span.start, size)
