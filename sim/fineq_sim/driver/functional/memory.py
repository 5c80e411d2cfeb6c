"""Memory of the functional model: bytes, and the errors that a bus answers with."""

from __future__ import annotations

import numpy as np

from fineq_hw.interface.bus import Response
from fineq_hw.interface.error_codes import ErrorCode


class Stop(Exception):
    """The chain ends with an error."""

    def __init__(self, code: ErrorCode, address: int, detail: int = 0) -> None:
        self.code, self.address, self.detail = code, address, detail


class FunctionalMemory:
    """The memory that driver and machine see, and a range of it that answers with an error.

    Args:
        base, size: of the memory, bytes.
        word: bytes of a bus word, to which addresses of errors are rounded.
    """

    def __init__(self, base: int, size: int, word: int) -> None:
        self.base, self.size, self._word = base, size, word
        self._bytes = np.zeros(size, dtype=np.uint8)
        self._fault = (0, 0, Response.OKAY)

    def fault(self, address: int, size: int, response: Response) -> None:
        """Answer accesses to a range with an error; size 0: never."""
        self._fault = (address, size, response)

    def write(self, address: int, content: np.ndarray) -> None:
        """From the driver: no errors."""
        self._bytes[address - self.base :][: len(content)] = content

    def read(self, address: int, size: int) -> np.ndarray:
        """For the driver: a copy, no errors."""
        return self._bytes[address - self.base :][:size].copy()

    def span(self, address: int, size: int, write: bool = False) -> np.ndarray:
        """A range as the machine sees it, a view.

        Raises:
            Stop: the bus answers with an error.
        """
        first, length, response = self._fault
        word = self._word
        bad = None
        if length and address < first + length and first < address + size:
            bad = max(address, first) // word * word
        elif not self.base <= address <= address + size <= self.base + self.size:
            response, bad = Response.DECERR, address
            if address >= self.base:
                bad = max(address, self.base + self.size)
        if bad is not None:
            kind = "SLAVE" if response is Response.SLVERR else "DECODE"
            raise Stop(ErrorCode[f"{'WRITE' if write else 'READ'}_{kind}_ERROR"], bad)
        start = address - self.base
        return self._bytes[start : start + size]

    def rows(self, address: int, size: int, count: int, stride: int, write: bool = False) -> np.ndarray:
        """Views of `count` pieces of memory, uint8 [count, size]."""
        for row in range(count) if self._fault[1] else (0, count - 1):
            self.span(address + row * stride, size, write)
        start = address - self.base
        return np.lib.stride_tricks.as_strided(self._bytes[start:], (count, size), (stride, 1), writeable=write)
