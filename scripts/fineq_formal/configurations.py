"""Small accelerators: as few bits as the blocks have and still all their cases."""

from __future__ import annotations

from fineq_hw.config import AcceleratorConfig, ArrayConfig

TINY_ARRAY = ArrayConfig(rows=2, columns=3, accumulator_bits=13)
"""Two tokens at a time, lines of three blocks."""

TINY = AcceleratorConfig(
    TINY_ARRAY,
    bus_bits=64,
    address_bits=16,
    channels_per_tile=32,
    final_channels=16,
    max_burst_beats=4,
    outstanding_reads=2,
)
"""Address space of sixteen pages, bursts of four words."""
