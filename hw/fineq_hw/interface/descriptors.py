"""The job descriptor: 128 bytes in memory that describe one linear layer, and everything that is checked in it.

`check_descriptor` says what the hardware must say; the driver's functional model uses it, and the testbench of the
descriptor unit compares the RTL with it.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from fineq_hw.config import ALIGNMENT, MAX_LAYER_SIZE, AcceleratorConfig, aligned
from fineq_hw.interface.bit_fields import BitField
from fineq_hw.interface.error_codes import MISALIGNED, OUTSIDE, OVERLAPPED, REGIONS, ErrorCode
from fineq_hw.interface.jobs import (
    MULTIPLIER_BITS,
    POINTER_BITS,
    SHIFT_BITS,
    STRIDE_BITS,
    TAG_BITS,
    ActivationFunction,
    OutputFormat,
    result_bytes,
)
from fineq_hw.interface.records import CHANNEL_PARAMETERS, record_bytes

DESCRIPTOR_BYTES = 128
WORD_BITS = 32
OPERATION_LINEAR = 1
"""The one operation: Y = X W^T. Zero is none, so that empty memory is no job."""

_SIZE_FIELD_BITS = 32


def _at(byte: int, bit: int = 0) -> int:
    return 8 * byte + bit


DESCRIPTOR_FIELDS: tuple[BitField, ...] = (
    BitField("operation", _at(0x00), 8, "1: linear layer Y[M,N] = X[M,K] W[N,K]^T."),
    BitField(
        "output_format",
        _at(0x00, 8),
        4,
        "What is written for a sum: " + ", ".join(f"{each.value} {each.name}" for each in OutputFormat) + ".",
    ),
    BitField(
        "function",
        _at(0x00, 12),
        4,
        "Activation function: " + ", ".join(f"{each.value} {each.name}" for each in ActivationFunction) + ".",
    ),
    BitField("early_termination", _at(0x00, 16), 1, "Stop each weight vector after its largest magnitude."),
    BitField("interrupt", _at(0x00, 17), 1, "Set the flag `job_done` when this job is finished."),
    BitField("last", _at(0x00, 18), 1, "The chain ends here; `next` is ignored."),
    BitField("tag", _at(0x04), TAG_BITS, "Any number; the register TAG shows it when the job is finished."),
    BitField("next", _at(0x08), POINTER_BITS, "Address of the next descriptor of the chain."),
    BitField("tokens", _at(0x10), _SIZE_FIELD_BITS, "M, number of tokens."),
    BitField("channels", _at(0x14), _SIZE_FIELD_BITS, "N, number of output channels."),
    BitField("inner", _at(0x18), _SIZE_FIELD_BITS, "K, number of inputs."),
    BitField("requantize_multiplier", _at(0x1C), MULTIPLIER_BITS, "INT8 results are multiplied with it."),
    BitField(
        "requantize_shift", _at(0x1C, 16), SHIFT_BITS, "INT8 results are divided by 2 to this power, then rounded."
    ),
    BitField("activations", _at(0x20), POINTER_BITS, "Address of the first token's activations."),
    BitField("weights", _at(0x28), POINTER_BITS, "Address of the weight image."),
    BitField("channel_parameters", _at(0x30), POINTER_BITS, "Address of the channels' records; ignored with SUMS."),
    BitField("token_parameters", _at(0x38), POINTER_BITS, "Address of the tokens' records; ignored with SUMS."),
    BitField("destination", _at(0x40), POINTER_BITS, "Address of the first token's results."),
    BitField("activation_stride", _at(0x48), STRIDE_BITS, "Bytes from one token's activations to the next's."),
    BitField("destination_stride", _at(0x4C), STRIDE_BITS, "Bytes from one token's results to the next's."),
)
"""Fields in the order of their offsets; all other bits are reserved and must be zero."""

FIELDS: dict[str, BitField] = {field.name: field for field in DESCRIPTOR_FIELDS}

RESERVED_MASK = ((1 << 8 * DESCRIPTOR_BYTES) - 1) & ~sum(field.mask for field in DESCRIPTOR_FIELDS)
"""Bits that must be zero, the descriptor read as one little-endian number."""


def encode_descriptor(**values: int | Enum) -> bytes:
    """The 128 bytes of a descriptor. Fields not given are zero; `operation` is the linear layer unless given.

    Raises:
        ValueError: an unknown field, or a value that its field cannot hold. What only the hardware refuses is encoded.
    """
    number = 0
    for name, value in ({"operation": OPERATION_LINEAR} | values).items():
        if name not in FIELDS:
            raise ValueError(f"a descriptor has no field {name!r}: choose from {', '.join(FIELDS)}")
        field = FIELDS[name]
        value = int(value.value if isinstance(value, Enum) else value)
        if not 0 <= value < 1 << field.width:
            raise ValueError(f"{name} is {value}: the field has {field.width} bits, at most {(1 << field.width) - 1}")
        number |= value << field.offset
    return number.to_bytes(DESCRIPTOR_BYTES, "little")


def decode_descriptor(descriptor: bytes) -> dict[str, int]:
    """Fields of a descriptor by name.

    Raises:
        ValueError: it does not have 128 bytes.
    """
    if len(descriptor) != DESCRIPTOR_BYTES:
        raise ValueError(f"a descriptor has {DESCRIPTOR_BYTES} bytes, not {len(descriptor)}")
    number = int.from_bytes(descriptor, "little")
    return {field.name: field.read(number) for field in DESCRIPTOR_FIELDS}


def inner_tiles(inner: int, config: AcceleratorConfig) -> int:
    """Fillings of the array along K."""
    return -(-inner // config.array.columns)


def line_groups(inner: int, config: AcceleratorConfig) -> int:
    """Weight lines of one output channel."""
    return -(-inner_tiles(inner, config) // config.line_slices)


def region_bytes(fields: dict[str, int], config: AcceleratorConfig) -> dict[str, int]:
    """Bytes from the first to the last of each region that a job touches, in the order of `REGIONS`.

    Args:
        fields: of a descriptor whose sizes, strides and output format are legal.
        config: of the accelerator.

    Returns:
        Without the parameters if they are not read (SUMS), and without the next descriptor if there is none.
    """
    tokens, channels, inner = fields["tokens"], fields["channels"], fields["inner"]
    token_tiles = -(-tokens // config.array.rows)
    activation_row = inner_tiles(inner, config) * config.activation_tile_bytes
    sizes = {
        "destination": (tokens - 1) * fields["destination_stride"] + channels * result_bytes(fields["output_format"]),
        "activations": (tokens - 1) * fields["activation_stride"] + activation_row,
        # Tiles of the image are multiples of ALIGNMENT but for the last, so they need not be told apart.
        "weights": line_groups(inner, config) * config.weight_chunk_bytes(channels),
    }
    if fields["output_format"] != OutputFormat.SUMS.value:
        sizes["channel_parameters"] = aligned(record_bytes(CHANNEL_PARAMETERS) * channels)
        sizes["token_parameters"] = token_tiles * config.token_tile_bytes
    sizes["descriptor"] = DESCRIPTOR_BYTES
    if not fields["last"]:
        sizes["next"] = DESCRIPTOR_BYTES
    return sizes


class Refusal(NamedTuple):
    """Why a descriptor is refused; `detail` is zero but for RESERVED_BITS."""

    code: ErrorCode
    detail: int = 0


def check_address(address: int, base: int, limit: int) -> Refusal | None:
    """What is wrong with the address of a descriptor, before it is fetched: arguments as in `check_descriptor`."""
    region = REGIONS.index("descriptor")
    if address % ALIGNMENT:
        return Refusal(ErrorCode(MISALIGNED + region))
    if not _inside(address, DESCRIPTOR_BYTES, base, limit):
        return Refusal(ErrorCode(OUTSIDE + region))
    return None


def check_descriptor(
    descriptor: bytes, address: int, config: AcceleratorConfig, base: int, limit: int
) -> Refusal | None:
    """The first thing that is wrong with a descriptor, in the order in which the hardware looks, or None.

    Args:
        descriptor: its 128 bytes.
        address: where it lies, legal by `check_address`.
        config: of the accelerator.
        base, limit: first and last byte of the memory window; `limit` is below 2^address_bits.

    Raises:
        ValueError: it does not have 128 bytes.
    """
    fields = decode_descriptor(descriptor)
    return (
        _check_reserved(descriptor)
        or _check_operation(fields)
        or _check_sizes(fields, config)
        or _check_strides(fields)
        or _check_regions(fields, address, config, base, limit)
    )


def _check_reserved(descriptor: bytes) -> Refusal | None:
    reserved = int.from_bytes(descriptor, "little") & RESERVED_MASK
    if not reserved:
        return None
    lowest = (reserved & -reserved).bit_length() - 1
    return Refusal(ErrorCode.RESERVED_BITS, lowest // WORD_BITS * WORD_BITS // 8)


def _check_operation(fields: dict[str, int]) -> Refusal | None:
    if fields["operation"] != OPERATION_LINEAR:
        return Refusal(ErrorCode.UNKNOWN_OPERATION)
    if fields["output_format"] not in {each.value for each in OutputFormat}:
        return Refusal(ErrorCode.UNKNOWN_OUTPUT_FORMAT)
    if fields["function"] not in {each.value for each in ActivationFunction}:
        return Refusal(ErrorCode.UNKNOWN_FUNCTION)
    if fields["output_format"] == OutputFormat.SUMS.value and fields["function"] != ActivationFunction.NONE.value:
        return Refusal(ErrorCode.FUNCTION_WITH_SUMS)
    return None


def _check_sizes(fields: dict[str, int], config: AcceleratorConfig) -> Refusal | None:
    for size in ("tokens", "channels", "inner"):
        if fields[size] == 0:
            return Refusal(ErrorCode[f"ZERO_{size.upper()}"])
        if fields[size] > MAX_LAYER_SIZE:
            return Refusal(ErrorCode[f"{size.upper()}_TOO_LARGE"])
    if fields["inner"] > config.max_inner_dimension:
        return Refusal(ErrorCode.INNER_OVERFLOWS)
    return None


def _check_strides(fields: dict[str, int]) -> Refusal | None:
    if fields["activation_stride"] % ALIGNMENT:
        return Refusal(ErrorCode.ACTIVATION_STRIDE_MISALIGNED)
    if fields["destination_stride"] % ALIGNMENT:
        return Refusal(ErrorCode.DESTINATION_STRIDE_MISALIGNED)
    if fields["destination_stride"] < fields["channels"] * result_bytes(fields["output_format"]):
        return Refusal(ErrorCode.DESTINATION_STRIDE_TOO_SMALL)
    return None


def _check_regions(
    fields: dict[str, int], address: int, config: AcceleratorConfig, base: int, limit: int
) -> Refusal | None:
    sizes = region_bytes(fields, config)
    starts = fields | {"descriptor": address}
    destination, destination_bytes = starts["destination"], sizes["destination"]
    for region, size in sizes.items():
        start, number = starts[region], REGIONS.index(region)
        if start % ALIGNMENT:
            return Refusal(ErrorCode(MISALIGNED + number))
        if not _inside(start, size, base, limit):
            return Refusal(ErrorCode(OUTSIDE + number))
        overlaps = start < destination + destination_bytes and destination < start + size
        if overlaps and region != "destination":
            return Refusal(ErrorCode(OVERLAPPED + number))
    return None


def _inside(start: int, size: int, base: int, limit: int) -> bool:
    return base <= start and start + size - 1 <= limit
