"""Parameters of the whole accelerator, and the sizes in memory that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from fineq_hw.config.array import ArrayConfig
from fineq_hw.config.checks import check_choice, check_integer
from fineq_hw.config.mac import MacConfig

BUS_BITS: tuple[int, ...] = (64, 128)
"""Widths of the accelerator's memory bus."""

VECTOR_WORDS: tuple[int, ...] = (1, 2, 4)
"""Widths of the vector unit, in bus words of 32-bit results."""

ALIGNMENT = 16
"""Addresses, strides and padded records in the accelerator's memory are multiples of so many bytes."""

TRANSFER_ROW_BITS = 24
"""Bits of the size of one contiguous piece that a DMA engine moves."""

MAX_LINE_SELECTION_BITS = 1 << 20
"""Largest selection in front of the store of the weight buffer's gearbox (`AcceleratorConfig.line_places`), whose area
and whose time to be written as Verilog grow with its bits: about a minute and a half for so many. Lines are long where
columns and the format's 24 weights of a block have no factors in common, and that counts twice: 64 columns take 3,584
bits, 33 take 56,672, 130 take 1,710,800. What stays below has lines that fit a transfer (`TRANSFER_ROW_BITS`).
"""

UNPRIVILEGED_NON_SECURE = 0b010
"""AxPROT of a master that nothing trusts: unprivileged, non-secure, data."""

NORMAL_BUFFERABLE = 0b0011
"""AxCACHE: normal memory, non-cacheable, bufferable; lets an interconnect change the width of transfers."""

MAX_LAYER_SIZE = 0xFFFF
"""Largest number of tokens, of output channels and of inputs of one descriptor."""


def aligned(size: int) -> int:
    """`size` rounded up to the memory's alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class AcceleratorConfig:
    """Parameters of the whole accelerator around an array (paper Fig. 5(a)).

    Attributes:
        array: the temporal-coding array, or the MAC array of the baseline.
        bus_bits: data width of the AXI4 memory port, one of `BUS_BITS`.
        address_bits: width of a memory address.
        channels_per_tile: output channels worked off before the array takes other inputs: depth of each half
            of the weight buffer and of the output buffer.
        final_channels: a job ends with at most so many channels, so that little is left to write when the array is
            done: its last tile is worked off in two portions. A power of two that divides `channels_per_tile`.
        vector_words: bus words of 32-bit results that the vector unit works out in a cycle, one of `VECTOR_WORDS`.
            The bus takes one of them a cycle; of 8-bit results it takes four.
        max_burst_beats: longest AXI4 burst.
        outstanding_reads: read bursts in flight.
        addresses_ahead: write addresses may be offered before the data of their bursts is there. Saves the queue that
            gathers a burst and up to a burst of cycles a layer, but locks up behind a memory that serves reads and
            writes in turn: such a memory waits for the data, which may hang on a read. No named machine has it.
        protection: AxPROT of every burst: bit 0 privileged, bit 1 non-secure, bit 2 instruction.
        cacheability: AxCACHE of every burst.

    Raises:
        ValueError: a parameter is impossible; the text says which and what is allowed.
    """

    array: ArrayConfig | MacConfig
    bus_bits: int = 128
    address_bits: int = 40
    channels_per_tile: int = 512
    final_channels: int = 128
    vector_words: int = 1
    max_burst_beats: int = 16
    outstanding_reads: int = 8
    addresses_ahead: bool = False
    protection: int = UNPRIVILEGED_NON_SECURE
    cacheability: int = NORMAL_BUFFERABLE

    def __post_init__(self) -> None:
        if self.array.activation_bits != 8:
            raise ValueError(
                f"activation_bits is {self.array.activation_bits}: the accelerator's buffers hold one activation "
                "a byte, use 8"
            )
        if self.array.accumulator_bits > 32:
            raise ValueError(f"accumulator_bits is {self.array.accumulator_bits}: results have 32 bits, use at most 32")
        check_choice(self, "bus_bits", BUS_BITS)
        check_integer(self, "address_bits", 16, 64)
        check_integer(self, "channels_per_tile", ALIGNMENT, 4096)
        if self.channels_per_tile % ALIGNMENT:
            raise ValueError(
                f"channels_per_tile is {self.channels_per_tile}: it must be a multiple of {ALIGNMENT}, so that every "
                "tile of the result starts aligned"
            )
        check_integer(self, "final_channels", ALIGNMENT, self.channels_per_tile)
        if self.channels_per_tile % self.final_channels or self.final_channels.bit_count() != 1:
            raise ValueError(
                f"final_channels is {self.final_channels}: it must be a power of two that divides channels_per_tile, "
                f"{self.channels_per_tile}"
            )
        places, bits = self.line_places
        if bits > MAX_LINE_SELECTION_BITS:
            raise ValueError(
                f"columns is {self.array.columns}: weight lines of {self.line_bytes} bytes begin at {places} places of "
                f"a {self.bus_bits}-bit word, which takes a selection of {bits} bits, more than "
                f"{MAX_LINE_SELECTION_BITS}; use another number of columns, such as a multiple of 48"
            )
        check_choice(self, "vector_words", VECTOR_WORDS)
        check_choice(self, "max_burst_beats", (1, 2, 4, 8, 16, 32, 64, 128, 256))
        check_integer(self, "outstanding_reads", 1, 64)
        check_choice(self, "addresses_ahead", (False, True))
        check_integer(self, "protection", 0, 7)
        check_integer(self, "cacheability", 0, 15)

    @property
    def attribute_name(self) -> tuple[str, ...]:
        """Part of a module's name that tells attributes of the bus other than the default ones."""
        usual = self.protection == UNPRIVILEGED_NON_SECURE and self.cacheability == NORMAL_BUFFERABLE
        return () if usual else (f"prot{self.protection}cache{self.cacheability}",)

    @property
    def bus_bytes(self) -> int:
        return self.bus_bits // 8

    @property
    def vector_lanes(self) -> int:
        """Results that the vector unit works on in a cycle."""
        return self.vector_words * self.bus_bits // 32

    @property
    def activation_tile_bytes(self) -> int:
        """Bytes in memory of one token's inputs for one tile: one activation a byte, padded."""
        return aligned(self.array.columns)

    @property
    def line_bytes(self) -> int:
        """Bytes in memory of one weight line: what one decoding step turns into `line_slices` weight vectors."""
        return self.array.line_bytes

    @property
    def line_slices(self) -> int:
        """Weight vectors in one line."""
        return self.array.line_slices

    @property
    def line_places(self) -> tuple[int, int]:
        """Places in a bus word where lines can begin, and bits of the selection that the gearbox needs for them."""
        unit = gcd(self.bus_bytes, self.line_bytes)
        places = self.line_bytes // unit
        return places, places * 8 * (self.line_bytes + self.bus_bytes - unit)

    @property
    def token_tile_bytes(self) -> int:
        """Bytes in memory of the scale records of the tokens of one tile: 4 bytes a token, padded."""
        return aligned(4 * self.array.rows)

    def weight_chunk_bytes(self, channels: int) -> int:
        """Bytes in memory of the lines of `channels` output channels, one line each, padded."""
        return aligned(channels * self.line_bytes)

    @property
    def max_inner_dimension(self) -> int:
        """Largest K: what neither the accumulator nor the descriptor overflows with."""
        return min(self.array.max_inner_dimension, MAX_LAYER_SIZE)
