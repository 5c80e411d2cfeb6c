"""What can be wrong in a descriptor, and how large the regions are that it names: plain expressions of its fields.

The same in software: `interface.descriptors.check_descriptor` and `region_bytes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Signal, Value

from fineq_hw.config import ALIGNMENT, MAX_LAYER_SIZE, AcceleratorConfig
from fineq_hw.control.tile_counts import TileCounts
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, FIELDS, OPERATION_LINEAR, region_bytes
from fineq_hw.interface.error_codes import ErrorCode
from fineq_hw.interface.jobs import SIZE_BITS, ActivationFunction, OutputFormat
from fineq_hw.interface.records import CHANNEL_PARAMETERS, record_bytes

_ALIGNMENT_BITS = ALIGNMENT.bit_length() - 1


def misaligned(address: Value) -> Value:
    """Whether an address or a stride is no multiple of `ALIGNMENT`."""
    return address[:_ALIGNMENT_BITS].any()


def _aligned(size: Value) -> Value:
    """A size rounded up to a multiple of `ALIGNMENT`."""
    return Cat(Const(0, _ALIGNMENT_BITS), (size + (ALIGNMENT - 1))[_ALIGNMENT_BITS:])


def content_checks(
    fields: Mapping[str, Signal], row_bytes: Value, config: AcceleratorConfig
) -> list[tuple[Value, ErrorCode]]:
    """Everything that needs no region: what must not be, and its code, in the order in which it is reported.

    Args:
        fields: of the descriptor.
        row_bytes: bytes of the results of one token.
        config: of the accelerator.
    """
    sums = fields["output_format"] == OutputFormat.SUMS
    checks: list[tuple[Value, ErrorCode]] = [
        (fields["operation"] != OPERATION_LINEAR, ErrorCode.UNKNOWN_OPERATION),
        (fields["output_format"] > max(OutputFormat), ErrorCode.UNKNOWN_OUTPUT_FORMAT),
        (fields["function"] > max(ActivationFunction), ErrorCode.UNKNOWN_FUNCTION),
        (sums & (fields["function"] != ActivationFunction.NONE), ErrorCode.FUNCTION_WITH_SUMS),
    ]
    for size in ("tokens", "channels", "inner"):
        checks += [
            (fields[size] == 0, ErrorCode[f"ZERO_{size.upper()}"]),
            (fields[size] > MAX_LAYER_SIZE, ErrorCode[f"{size.upper()}_TOO_LARGE"]),
        ]
    checks.append((fields["inner"] > config.max_inner_dimension, ErrorCode.INNER_OVERFLOWS))
    for stride in ("activation_stride", "destination_stride"):
        checks.append((misaligned(fields[stride]), ErrorCode[f"{stride.upper()}_MISALIGNED"]))
    checks.append((fields["destination_stride"] < row_bytes, ErrorCode.DESTINATION_STRIDE_TOO_SMALL))
    return checks


class Extent(NamedTuple):
    """Bytes of a region: multiplier * multiplicand + addend.

    Attributes:
        multiplier: `SIZE_BITS` wide.
        multiplicand, addend: as wide as the extent.
        quotients: how many of the `TileCounts` must be known.
    """

    multiplier: Value | int
    multiplicand: Value | int
    addend: Value | int
    quotients: int


def region_extents(
    fields: Mapping[str, Signal], row_bytes: Value, counts: TileCounts, config: AcceleratorConfig
) -> dict[str, Extent]:
    """Extents of the regions by name, from the fields of a descriptor whose contents are legal."""
    tokens_but_one = (fields["tokens"] - 1)[:SIZE_BITS]
    chunk = _aligned(fields["channels"][:SIZE_BITS] * config.line_bytes)
    record_shift = record_bytes(CHANNEL_PARAMETERS).bit_length() - 1
    channel_records = _aligned(fields["channels"][:SIZE_BITS] << record_shift)
    activation_row = counts.inner_tiles * config.activation_tile_bytes
    return {
        "destination": Extent(tokens_but_one, fields["destination_stride"], row_bytes, 0),
        "activations": Extent(tokens_but_one, fields["activation_stride"], activation_row, 1),
        "weights": Extent(counts.line_groups, chunk, 0, 2),
        "channel_parameters": Extent(0, 0, channel_records, 0),
        "token_parameters": Extent(0, 0, counts.token_tiles * config.token_tile_bytes, 3),
        "descriptor": Extent(0, 0, DESCRIPTOR_BYTES, 0),
        "next": Extent(0, 0, DESCRIPTOR_BYTES, 0),
    }


def extent_bits(config: AcceleratorConfig) -> int:
    """Width of the largest extent of a region."""
    largest = {name: field.mask >> field.offset for name, field in FIELDS.items()}
    largest |= {size: MAX_LAYER_SIZE for size in ("tokens", "channels", "inner")}
    sizes = region_bytes(largest | {"output_format": OutputFormat.FIXED, "last": 0}, config)
    return max(sizes.values()).bit_length()
