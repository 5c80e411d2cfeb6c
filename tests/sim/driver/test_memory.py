"""The allocator of device memory: first fit, never two owners, a sentence for every wrong use."""

import numpy as np
import pytest

from fineq_hw.config import ALIGNMENT, aligned
from fineq_sim.driver.exceptions import AcceleratorError, OutOfMemoryError
from fineq_sim.driver.memory import Allocator


def test_allocator():
    memory = Allocator(0x100, 0x100)
    first, second, third = (memory.allocate(size) for size in (1, 16, 17))
    assert (first, second, third) == (0x100, 0x110, 0x120)
    assert memory.free_bytes == 0x100 - 0x40
    memory.free(second)
    assert memory.allocate(32) == 0x140  # does not fit the hole
    assert memory.allocate(16) == second
    for address in (first, second, third, 0x140):
        memory.free(address)
    assert memory.largest_free == 0x100
    assert memory.allocate(0x100) == 0x100


def test_allocator_is_never_wrong():
    memory, rng, used = Allocator(0, 1 << 12), np.random.default_rng(0), {}
    for _ in range(2000):
        if used and rng.random() < 0.5:
            address = list(used)[rng.integers(len(used))]
            memory.free(address)
            del used[address]
            continue
        size = int(rng.integers(1, 400))
        try:
            address = memory.allocate(size)
        except OutOfMemoryError:
            assert memory.largest_free < aligned(size)
            continue
        assert address % ALIGNMENT == 0 and 0 <= address and address + size <= 1 << 12
        assert all(address + size <= other or other + length <= address for other, length in used.items())
        used[address] = size
    assert memory.free_bytes == (1 << 12) - sum(map(aligned, used.values()))


def test_allocator_errors():
    memory = Allocator(0, 64)
    memory.allocate(32)
    with pytest.raises(
        OutOfMemoryError,
        match="^the device memory is full: weights needs 48 bytes, 32 of 64 are free, 32 of them in one piece; "
        "free layers, or use a larger memory$",
    ):
        memory.allocate(33, "weights")
    with pytest.raises(AcceleratorError, match="^0x20 is not the start of a range in use: it was freed already$"):
        memory.free(32)
    with pytest.raises(AcceleratorError, match="^cannot allocate 0 bytes for data: ask for at least one$"):
        memory.allocate(0)
    with pytest.raises(ValueError, match="both must be multiples of 16$"):
        Allocator(0, 40)
