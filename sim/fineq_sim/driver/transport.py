"""What the driver needs of a machine: memory, registers and an interrupt line. Everything else is the driver's."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from fineq.common.errors import FineqError
from fineq_hw.config import ACCELERATORS, AcceleratorConfig

DEFAULT_MEMORY = 1 << 26
"""Bytes of a simulated memory."""


@runtime_checkable
class Transport(Protocol):
    """A way to reach an accelerator.

    Attributes:
        memory_base, memory_size: the memory that both sides see, bytes.
        cycle_accurate: the counters of cycles mean something.
        fault_responses: what `fault` can make the memory answer.
    """

    memory_base: int
    memory_size: int
    cycle_accurate: bool
    fault_responses: tuple[int, ...]

    def write_memory(self, address: int, content: np.ndarray) -> None:
        """Write uint8 [size]."""

    def read_memory(self, address: int, size: int) -> np.ndarray:
        """Read uint8 [size], a copy."""

    def write_register(self, address: int, value: int) -> bool:
        """Write 32 bits; False: the register port answered with an error."""

    def read_register(self, address: int) -> int | None:
        """Read 32 bits; None: the register port answered with an error."""

    def wait(self, cycles: int) -> bool:
        """Let time pass until the interrupt line is high, at most so many cycles; whether it is high."""

    def reset(self) -> None:
        """Reset the machine alone by its reset line. The memory keeps its contents and what it has under way."""

    def fault(self, address: int, size: int, response: int) -> None:
        """Make the memory answer accesses to a range with an AXI response; size 0: no longer."""

    def close(self) -> None:
        """Let the machine go; nothing else may be called afterwards."""


def check_range(transport: Transport, address: int, size: int) -> None:
    """Check that a range lies in the memory of a transport.

    Raises:
        ValueError: it does not.
    """
    base, end = transport.memory_base, transport.memory_base + transport.memory_size
    if not base <= address <= address + size <= end:
        raise ValueError(f"the memory reaches from {base:#x} to {end:#x}: there are no {size} bytes at {address:#x}")


def find_accelerator(which: str | AcceleratorConfig) -> AcceleratorConfig:
    """A configuration by name, or itself.

    Raises:
        ValueError: there is none of that name.
    """
    if isinstance(which, AcceleratorConfig):
        return which
    if which not in ACCELERATORS:
        raise FineqError(f"unknown accelerator {which!r}: choose one of {', '.join(ACCELERATORS)}")
    return ACCELERATORS[which]
