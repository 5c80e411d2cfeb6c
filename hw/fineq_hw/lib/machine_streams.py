"""Streams between the blocks of the accelerator, and the job that all of them work on (docs/hardware/architecture.md).

Every block walks the same tiles of the same job on its own; the streams between them carry nothing but data.
Structs are packed with the first field in the lowest bits.
"""

from __future__ import annotations

from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import data

from fineq_hw.config import TRANSFER_ROW_BITS, AcceleratorConfig
from fineq_hw.interface.jobs import (
    MULTIPLIER_BITS,
    SHIFT_BITS,
    SIZE_BITS,
    STRIDE_BITS,
    ActivationFunction,
    OutputFormat,
)
from fineq_hw.interface.records import CHANNEL_PARAMETERS, TOKEN_PARAMETERS, Record


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


def _record_layout(record: Record) -> data.StructLayout:
    """A record in memory as a struct: its fields follow one another from the lowest bit."""
    return data.StructLayout({field.name: Shape(field.width, field.signed) for field in record})


channel_parameters_layout = _record_layout(CHANNEL_PARAMETERS)
"""Record of one output channel in memory, 8 bytes: weight scale = multiplier / 2^shift; bias in Q15.16."""

token_parameters_layout = _record_layout(TOKEN_PARAMETERS)
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
