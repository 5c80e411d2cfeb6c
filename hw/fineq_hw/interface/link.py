"""The serial link between a host and a machine on a board: frames, addresses, what the device says of itself.

A request is SYNC, operation, sequence number, count of words, address (4 bytes), the words of a write, checksum. An
answer is ANSWER, status, sequence number, count of words, the words of a read, checksum. Numbers are little endian,
words have 32 bits, the checksum is CRC-16/CCITT-FALSE over all that follows the first byte. A device does nothing
before the checksum was right. It forgets a frame that pauses for `GAP_CHARACTERS` characters. A write that is repeated
with the same sequence number is answered and not done again.
"""

from __future__ import annotations

import zlib
from enum import IntEnum

from fineq_hw.config import AcceleratorConfig, ArrayConfig
from fineq_hw.interface.registers import VERSION

SYNC, ANSWER = 0xA5, 0x5A

LINK_VERSION = 1

MAX_WORDS = 16
"""Of a frame."""

HEADER_BYTES = 7
"""Of a request between SYNC and its words."""

CHECKSUM_BYTES = 2

GAP_CHARACTERS = 32
"""A frame that pauses for so many characters is forgotten."""


class Operation(IntEnum):
    """What a request asks for."""

    READ = 1
    WRITE = 2


class Status(IntEnum):
    """How a request went."""

    OK = 0
    BUS_ERROR = 1
    """An address is not there, or refused the access."""
    BAD_REQUEST = 2
    """An unknown operation, or too many words."""


REGISTERS_BASE, LINK_BASE = 0x8000_0000, 0xC000_0000
"""Spaces of addresses: below the first the memory of an accelerator, or the streams of a core."""

LINK_MAGIC = int.from_bytes(b"FQLK", "big")


class LinkRegister(IntEnum):
    """Words of the link itself, from `LINK_BASE` on."""

    MAGIC = 0x00
    VERSION = 0x04
    """Version of the link in the lower half, kind of machine in the upper one: 0 accelerator, 1 core."""
    FINGERPRINT = 0x08
    """`fingerprint` of the configuration: host and bitstream belong together."""
    MEMORY_BYTES = 0x0C
    BAD_FRAMES = 0x10
    """Frames that were thrown away since the start: checksum wrong or cut short."""
    RESET = 0x14
    """A write resets the machine, and not the memory."""
    SELFTEST = 0x18
    """0 none or still running, 1 passed, 2 failed."""
    INTERRUPT = 0x1C
    """The interrupt line of an accelerator."""


class Kind(IntEnum):
    """What is behind the link."""

    ACCELERATOR = 0
    CORE = 1


class CoreStream(IntEnum):
    """Windows of a core's streams: writing any word of one shifts it in from above, writing at `PUSH` sends it."""

    ACTIVATIONS = 0x000
    LINES = 0x100
    PARTIALS = 0x200
    RESULTS = 0x300
    """Reading at `PUSH` takes a result, words below it show it; 1 if there was one."""
    CONTROL = 0x400
    """Bit 0: early termination."""


PUSH = 0x80
"""Place in a window."""


def fingerprint(config: ArrayConfig | AcceleratorConfig) -> int:
    """32 bits that tell configurations and versions of the register map apart."""
    return zlib.crc32(f"{VERSION} {LINK_VERSION} {config!r}".encode())


def checksum(content: bytes, value: int = 0xFFFF) -> int:
    """CRC-16/CCITT-FALSE."""
    for byte in content:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ (0x1021 if value & 0x8000 else 0)) & 0xFFFF
    return value


def request(operation: Operation, sequence: int, address: int, words: list[int] | int) -> bytes:
    """A frame to the device; `words`: those to write, or how many to read."""
    count, content = (words, []) if isinstance(words, int) else (len(words), words)
    body = bytes([operation, sequence, count]) + address.to_bytes(4, "little")
    body += b"".join(word.to_bytes(4, "little") for word in content)
    return bytes([SYNC]) + body + checksum(body).to_bytes(CHECKSUM_BYTES, "little")
