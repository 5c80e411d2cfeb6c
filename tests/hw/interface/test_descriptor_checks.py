"""What is wrong with a descriptor, and which of several faults is reported."""

from __future__ import annotations

import pytest

from fineq_hw.config import ACCELERATORS, MAX_LAYER_SIZE
from fineq_hw.interface.descriptors import Refusal, check_address, check_descriptor, encode_descriptor
from fineq_hw.interface.error_codes import ErrorCode

CONFIG = ACCELERATORS["accelerator_16x16"]
GOOD = {
    "output_format": 1,
    "tokens": 3,
    "channels": 20,
    "inner": 40,
    "activations": 0x1000,
    "activation_stride": 48,
    "weights": 0x2000,
    "channel_parameters": 0x3000,
    "token_parameters": 0x4000,
    "destination": 0x5000,
    "destination_stride": 80,
    "next": 0x6000,
}
ADDRESS = 0x7000


def check(limit: int = 0xFFFF, base: int = 0, **changes) -> Refusal | None:
    return check_descriptor(encode_descriptor(**(GOOD | changes)), ADDRESS, CONFIG, base, limit)


def test_a_legal_descriptor():
    assert check() is None
    assert check(limit=ADDRESS + 127, base=0x1000) is None
    assert check(tokens=1, destination=0x5000, activations=0x5050) is None, "next to each other is no overlap"


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("UNKNOWN_OPERATION", {"operation": 0}),
        ("UNKNOWN_OUTPUT_FORMAT", {"output_format": 3}),
        ("UNKNOWN_FUNCTION", {"function": 4}),
        ("FUNCTION_WITH_SUMS", {"output_format": 0, "function": 1}),
        ("ZERO_TOKENS", {"tokens": 0}),
        ("ZERO_CHANNELS", {"channels": 0}),
        ("ZERO_INNER", {"inner": 0}),
        ("TOKENS_TOO_LARGE", {"tokens": MAX_LAYER_SIZE + 1}),
        ("CHANNELS_TOO_LARGE", {"channels": MAX_LAYER_SIZE + 1}),
        ("INNER_TOO_LARGE", {"inner": MAX_LAYER_SIZE + 1}),
        ("INNER_OVERFLOWS", {"inner": 21846}),
        ("ACTIVATION_STRIDE_MISALIGNED", {"activation_stride": 8}),
        ("DESTINATION_STRIDE_MISALIGNED", {"destination_stride": 84}),
        ("DESTINATION_STRIDE_TOO_SMALL", {"destination_stride": 64}),
        ("DESTINATION_OUTSIDE", {"limit": 0x50EF - 1}),
        ("WEIGHTS_OUTSIDE", {"weights": 1 << 40}),
        ("NEXT_OUTSIDE", {"next": 0xFFF0}),
        ("ACTIVATIONS_OUTSIDE", {"base": 0x1001}),
        ("ACTIVATIONS_OVERLAPPED", {"activations": 0x50E0}),
        ("DESCRIPTOR_OVERLAPPED", {"destination": ADDRESS + 112}),
        ("NEXT_OVERLAPPED", {"destination": 0x5F20}),
        ("TOKEN_PARAMETERS_MISALIGNED", {"token_parameters": 0x4004}),
    ],
)
def test_illegal_descriptors(code, changes):
    assert check(**changes) == Refusal(ErrorCode[code])


def test_the_boundary_of_k():
    wide = {"activation_stride": 0, "weights": 0x100000, "limit": (1 << 40) - 1}
    assert check(inner=21845, **wide | {"activations": 0x10000}) is None


def test_reserved_bits_come_first_and_tell_their_word():
    raw = bytearray(encode_descriptor(**GOOD | {"operation": 0}))
    raw[0x55] = 1
    assert check_descriptor(bytes(raw), ADDRESS, CONFIG, 0, 0xFFFF) == Refusal(ErrorCode.RESERVED_BITS, 0x54)
    raw[0x1F] = 128
    assert check_descriptor(bytes(raw), ADDRESS, CONFIG, 0, 0xFFFF) == Refusal(ErrorCode.RESERVED_BITS, 0x1C)


def test_the_address_of_a_descriptor():
    assert check_address(0x80, 0x80, 0xFF) is None
    assert check_address(0x88, 0, 0xFFF) == Refusal(ErrorCode.DESCRIPTOR_MISALIGNED)
    assert check_address(0x80, 0x90, 0xFFF) == Refusal(ErrorCode.DESCRIPTOR_OUTSIDE)
    assert check_address(0x80, 0, 0xFE) == Refusal(ErrorCode.DESCRIPTOR_OUTSIDE)
