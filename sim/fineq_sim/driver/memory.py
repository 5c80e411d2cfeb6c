"""Device memory: which ranges are in use."""

from __future__ import annotations

from bisect import bisect, insort

from fineq_hw.config import ALIGNMENT, aligned
from fineq_sim.driver.exceptions import AcceleratorError, OutOfMemoryError


class Allocator:
    """Hands out aligned ranges of a memory, first fit, and takes them back.

    Args:
        base, size: of the memory, bytes; both aligned.
    """

    def __init__(self, base: int, size: int) -> None:
        if base % ALIGNMENT or size % ALIGNMENT or size <= 0:
            raise ValueError(f"a memory from {base:#x} of {size} bytes: both must be multiples of {ALIGNMENT}")
        self.base, self.size = base, size
        self._free: list[tuple[int, int]] = [(base, size)]  # address and size, ascending, never touching
        self._used: dict[int, int] = {}

    @property
    def free_bytes(self) -> int:
        return sum(size for _, size in self._free)

    @property
    def largest_free(self) -> int:
        """Largest range that can still be had."""
        return max((size for _, size in self._free), default=0)

    def allocate(self, size: int, purpose: str = "data") -> int:
        """Address of a free range of at least `size` bytes.

        Raises:
            OutOfMemoryError: there is none; the text says how much is free.
        """
        if size < 1:
            raise AcceleratorError(f"cannot allocate {size} bytes for {purpose}: ask for at least one")
        size = aligned(size)
        for position, (address, available) in enumerate(self._free):
            if available >= size:
                self._free[position : position + 1] = [(address + size, available - size)] if available > size else []
                self._used[address] = size
                return address
        raise OutOfMemoryError(
            f"the device memory is full: {purpose} needs {size} bytes, {self.free_bytes} of {self.size} are free, "
            f"{self.largest_free} of them in one piece; free layers, or use a larger memory"
        )

    def free(self, address: int) -> None:
        """Give back a range.

        Raises:
            AcceleratorError: no range in use begins there.
        """
        if address not in self._used:
            raise AcceleratorError(f"{address:#x} is not the start of a range in use: it was freed already")
        start, end = address, address + self._used.pop(address)
        insort(self._free, (start, end - start))
        position = bisect(self._free, (start, end - start)) - 1
        if position + 1 < len(self._free) and self._free[position + 1][0] == end:
            end += self._free.pop(position + 1)[1]
            self._free[position] = (start, end - start)
        if position and sum(self._free[position - 1]) == start:
            first = self._free[position - 1][0]
            self._free[position - 1 : position + 1] = [(first, end - first)]
