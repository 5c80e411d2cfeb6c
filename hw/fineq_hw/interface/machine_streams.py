"""Streams between the blocks of the accelerator, and the job that all of them work on (docs/architecture.md).

Every block walks the same tiles of the same job on its own; the streams between them carry nothing but data.
Structs are packed with the first field in the lowest bits.
"""

from __future__ import annotations

from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import data, enum

from fineq_hw.config import MAX_LAYER_SIZE, TRANSFER_ROW_BITS, AcceleratorConfig

SIZE_BITS = MAX_LAYER_SIZE.bit_length()
"""Width of a number of tokens, channels or inputs."""

STRIDE_BITS = 32
MULTIPLIER_BITS = 16
SHIFT_BITS = 6
BIAS_BITS = 32


class OutputFormat(enum.Enum, shape=2):
    """What the vector unit writes for each sum."""

    SUMS = 0
    """The integer sum itself, 32 bits."""
    FIXED = 1
    """Scaled, biased, through the activation function: 32-bit fixed point with `FRACTION_BITS`."""
    INT8 = 2
    """As FIXED, then requantized with the job's multiplier and shift to -127 .. 127, one byte."""


class ActivationFunction(enum.Enum, shape=2):
    """Function that the vector unit applies to the scaled and biased result."""

    NONE = 0
    RELU = 1
    SILU = 2
    GELU = 3


FRACTION_BITS = 16
"""Binary places of a 32-bit result and of a bias: Q15.16."""


def job_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A checked linear layer: what the control unit hands to every block and holds still while they work.

    tokens M, channels N, inner_tiles ceil(K / columns), line_groups ceil(inner_tiles / line_slices).
    """
    address = unsigned(config.address_bits)
    return data.StructLayout(
        {
            "tokens": SIZE_BITS,
            "channels": SIZE_BITS,
            "inner_tiles": SIZE_BITS,
            "line_groups": SIZE_BITS,
            "activations": address,
            "activation_stride": STRIDE_BITS,
            "weights": address,
            "channel_parameters": address,
            "token_parameters": address,
            "destination": address,
            "destination_stride": STRIDE_BITS,
            "output_format": Shape.cast(OutputFormat),
            "function": Shape.cast(ActivationFunction),
            "requantize_multiplier": MULTIPLIER_BITS,
            "requantize_shift": SHIFT_BITS,
            "early_termination": 1,
            "interrupt": 1,
            "last": 1,
        }
    )


def transfer_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Command of a DMA engine: `rows` pieces of `row_bytes` bytes, `stride` bytes apart.

    The address and the stride are multiples of `ALIGNMENT`; the engine moves whole bus words, so `row_bytes`
    is rounded up to them (a write keeps the bytes beyond untouched by its strobes).
    """
    return data.StructLayout(
        {
            "address": unsigned(config.address_bits),
            "row_bytes": TRANSFER_ROW_BITS,
            "rows": SIZE_BITS,
            "stride": STRIDE_BITS,
        }
    )


def read_word_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A word that the read engine delivers; `row_last`: last of its row, `last`: last of its command."""
    return data.StructLayout({"data": config.bus_bits, "row_last": 1, "last": 1})


def write_word_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A word for the write engine: one strobe a byte; `row_last`: last of its row."""
    return data.StructLayout({"data": config.bus_bits, "strobe": config.bus_bytes, "row_last": 1})


channel_parameters_layout = data.StructLayout(
    {"multiplier": MULTIPLIER_BITS, "shift": 8, "reserved": 8, "bias": signed(BIAS_BITS)}
)
"""Record of one output channel in memory, 8 bytes: weight scale = multiplier / 2^shift; bias in Q15.16."""

token_parameters_layout = data.StructLayout({"multiplier": MULTIPLIER_BITS, "shift": 8, "reserved": 8})
"""Record of one token in memory, 4 bytes: activation scale = multiplier / 2^shift."""


def sums_group_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Drain of the output buffer: sums of one token for the next `vector_lanes` channels of the tile.

    `valid_lanes`: lanes that hold a channel, from lane 0 on; `group`: position of the first channel in the tile,
    in units of lanes; `token`: position of the token in the tile; `row_last`: last group of the token's row;
    `last`: last group of the tile.
    """
    return data.StructLayout(
        {
            "sums": data.ArrayLayout(signed(config.array.accumulator_bits), config.vector_lanes),
            "valid_lanes": Shape.cast(range(config.vector_lanes + 1)),
            "group": Shape.cast(range(config.channels_per_tile // config.vector_lanes)),
            "token": Shape.cast(range(config.array.rows)),
            "row_last": 1,
            "last": 1,
        }
    )


def scaled_group_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Input of the vector unit: a group of sums with the parameters that belong to it."""
    return data.StructLayout(
        {
            "sums": data.ArrayLayout(signed(config.array.accumulator_bits), config.vector_lanes),
            "channels": data.ArrayLayout(channel_parameters_layout, config.vector_lanes),
            "token": token_parameters_layout,
            "valid_lanes": Shape.cast(range(config.vector_lanes + 1)),
            "row_last": 1,
            "last": 1,
        }
    )
