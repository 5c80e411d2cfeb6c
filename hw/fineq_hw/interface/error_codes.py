"""Why the accelerator refused or gave up something: codes of the registers ERROR and ACCESS_ERROR."""

from __future__ import annotations

from enum import IntEnum

REGIONS: tuple[str, ...] = (
    "destination",
    "activations",
    "weights",
    "channel_parameters",
    "token_parameters",
    "descriptor",
    "next",
)
"""Parts of memory that a job touches, in the order in which they are checked; their position is in the codes."""


ERROR_CODE_BITS = 8
"""Width of a code in registers."""


class ErrorCode(IntEnum):
    """Codes by kind: 0x01 contents of a descriptor, 0x20 + region misaligned, 0x30 + region outside the memory window,
    0x40 + region overlapped by the destination, 0x50 memory bus (bit 2: write; bits 1-0: response), 0x60 registers.
    """

    NONE = 0x00

    RESERVED_BITS = 0x01
    UNKNOWN_OPERATION = 0x02
    UNKNOWN_OUTPUT_FORMAT = 0x03
    UNKNOWN_FUNCTION = 0x04
    FUNCTION_WITH_SUMS = 0x05
    ZERO_TOKENS = 0x06
    TOKENS_TOO_LARGE = 0x07
    ZERO_CHANNELS = 0x08
    CHANNELS_TOO_LARGE = 0x09
    ZERO_INNER = 0x0A
    INNER_TOO_LARGE = 0x0B
    INNER_OVERFLOWS = 0x0C
    ACTIVATION_STRIDE_MISALIGNED = 0x0D
    DESTINATION_STRIDE_MISALIGNED = 0x0E
    DESTINATION_STRIDE_TOO_SMALL = 0x0F

    DESTINATION_MISALIGNED = 0x20
    ACTIVATIONS_MISALIGNED = 0x21
    WEIGHTS_MISALIGNED = 0x22
    CHANNEL_PARAMETERS_MISALIGNED = 0x23
    TOKEN_PARAMETERS_MISALIGNED = 0x24
    DESCRIPTOR_MISALIGNED = 0x25
    NEXT_MISALIGNED = 0x26

    DESTINATION_OUTSIDE = 0x30
    ACTIVATIONS_OUTSIDE = 0x31
    WEIGHTS_OUTSIDE = 0x32
    CHANNEL_PARAMETERS_OUTSIDE = 0x33
    TOKEN_PARAMETERS_OUTSIDE = 0x34
    DESCRIPTOR_OUTSIDE = 0x35
    NEXT_OUTSIDE = 0x36

    ACTIVATIONS_OVERLAPPED = 0x41
    WEIGHTS_OVERLAPPED = 0x42
    CHANNEL_PARAMETERS_OVERLAPPED = 0x43
    TOKEN_PARAMETERS_OVERLAPPED = 0x44
    DESCRIPTOR_OVERLAPPED = 0x45
    NEXT_OVERLAPPED = 0x46

    READ_SLAVE_ERROR = 0x52
    READ_DECODE_ERROR = 0x53
    WRITE_SLAVE_ERROR = 0x56
    WRITE_DECODE_ERROR = 0x57
    ABORTED = 0x58
    MEMORY_TIMEOUT = 0x59

    START_WHILE_BUSY = 0x60
    WRITE_WHILE_BUSY = 0x61
    READ_ONLY = 0x62
    UNMAPPED_WRITE = 0x63
    UNMAPPED_READ = 0x64


MISALIGNED, OUTSIDE, OVERLAPPED = 0x20, 0x30, 0x40
"""Codes of what is wrong with a region; the position in `REGIONS` is added."""

READ_FAULT, WRITE_FAULT = 0x50, 0x54
"""Codes of what went wrong on the memory bus; the AXI response is added."""

_REGION_NAMES = {
    "destination": "the destination",
    "activations": "the activations",
    "weights": "the weight image",
    "channel_parameters": "the channel parameters",
    "token_parameters": "the token parameters",
    "descriptor": "the descriptor itself",
    "next": "the next descriptor",
}

_REGION_TEXTS = {
    MISALIGNED: "The address of {} is not a multiple of 16.",
    OUTSIDE: "Some byte of {} lies outside the memory window (MEMORY_BASE to MEMORY_LIMIT).",
    OVERLAPPED: "The destination, from its first to its last byte, overlaps {}.",
}

ERROR_TEXTS: dict[ErrorCode, str] = {
    ErrorCode.NONE: "No error.",
    ErrorCode.RESERVED_BITS: "A reserved bit of the descriptor is set; `detail` is the byte offset of its word.",
    ErrorCode.UNKNOWN_OPERATION: "The field `operation` has an unknown value.",
    ErrorCode.UNKNOWN_OUTPUT_FORMAT: "The field `output_format` has an unknown value.",
    ErrorCode.UNKNOWN_FUNCTION: "The field `function` is no known activation function.",
    ErrorCode.FUNCTION_WITH_SUMS: "Sums are written as they are: `function` must be NONE with the output format SUMS.",
    ErrorCode.ZERO_TOKENS: "The number of tokens M is zero.",
    ErrorCode.TOKENS_TOO_LARGE: "The number of tokens M is larger than MAX_SIZE.",
    ErrorCode.ZERO_CHANNELS: "The number of output channels N is zero.",
    ErrorCode.CHANNELS_TOO_LARGE: "The number of output channels N is larger than MAX_SIZE.",
    ErrorCode.ZERO_INNER: "The number of inputs K is zero.",
    ErrorCode.INNER_TOO_LARGE: "The number of inputs K is larger than MAX_SIZE.",
    ErrorCode.INNER_OVERFLOWS: "The number of inputs K is larger than MAX_INNER: a sum might overflow the accumulator.",
    ErrorCode.ACTIVATION_STRIDE_MISALIGNED: "The stride of the activations is not a multiple of 16.",
    ErrorCode.DESTINATION_STRIDE_MISALIGNED: "The stride of the destination is not a multiple of 16.",
    ErrorCode.DESTINATION_STRIDE_TOO_SMALL: "The stride of the destination is less than the results of one token take.",
    **{
        ErrorCode(kind + number): text.format(_REGION_NAMES[region])
        for kind, text in _REGION_TEXTS.items()
        for number, region in enumerate(REGIONS)
        if not (kind == OVERLAPPED and region == "destination")
    },
    ErrorCode.READ_SLAVE_ERROR: "A read from memory was answered with SLVERR.",
    ErrorCode.READ_DECODE_ERROR: "A read from memory was answered with DECERR: nothing is at that address.",
    ErrorCode.WRITE_SLAVE_ERROR: "A write to memory was answered with SLVERR.",
    ErrorCode.WRITE_DECODE_ERROR: "A write to memory was answered with DECERR: nothing is at that address.",
    ErrorCode.ABORTED: "The chain was aborted by a soft reset.",
    ErrorCode.MEMORY_TIMEOUT: "The memory gave no sign of life for as many cycles as WATCHDOG says.",
    ErrorCode.START_WHILE_BUSY: "A chain was to be started while another was running.",
    ErrorCode.WRITE_WHILE_BUSY: "A register that must not change while the machine is busy was written.",
    ErrorCode.READ_ONLY: "A register that can only be read was written.",
    ErrorCode.UNMAPPED_WRITE: "An address without a register was written.",
    ErrorCode.UNMAPPED_READ: "An address without a register was read.",
}
"""What each code means, one sentence each."""
