"""Accesses over a line: frames, checksums, time limits, repeats, and finding the beginning of a frame again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fineq_hw.interface.link import (
    ANSWER,
    CHECKSUM_BYTES,
    LINK_BASE,
    LINK_MAGIC,
    LINK_VERSION,
    MAX_WORDS,
    Kind,
    LinkRegister,
    Operation,
    Status,
    checksum,
    request,
)
from fineq_sim.driver.exceptions import AcceleratorError

ATTEMPTS = 4
"""A request is sent so often before the link is given up."""

_HEAD_BYTES = 3


class Line(Protocol):
    """Bytes in both directions."""

    def send(self, content: bytes) -> None:
        """Send all of them."""

    def receive(self, size: int) -> bytes:
        """Bytes that have come, at most so many; fewer, or none, if they do not come in time."""

    def close(self) -> None:
        """Let the line go."""


class LinkError(AcceleratorError):
    """The link does not carry: nothing answers, or something else does."""


class LinkPort:
    """Reads and writes of 32-bit words over a line.

    Attributes:
        repeats: requests that had to be sent again so far.
    """

    def __init__(self, line: Line) -> None:
        self._line, self._sequence, self.repeats = line, 0, 0

    def close(self) -> None:
        """Let the line go."""
        self._line.close()

    def read(self, address: int, count: int) -> list[int]:
        """Words from an address on.

        Raises:
            LinkError: no answer, after repeats.
            AcceleratorError: the device refuses the access.
        """
        words: list[int] = []
        while len(words) < count:
            step = min(MAX_WORDS, count - len(words))
            words += self._ask(Operation.READ, address + 4 * len(words), step)
        return words

    def write(self, address: int, words: Sequence[int]) -> None:
        """Write words from an address on; errors as `read`."""
        for start in range(0, len(words), MAX_WORDS):
            self._ask(Operation.WRITE, address + 4 * start, list(words[start : start + MAX_WORDS]))

    def _ask(self, operation: Operation, address: int, words: list[int] | int) -> list[int]:
        self._sequence = (self._sequence + 1) % 256
        frame = request(operation, self._sequence, address, words)
        for attempt in range(ATTEMPTS):
            self.repeats += attempt > 0
            self._line.send(frame)
            answer = self._answer()
            if answer is None:
                continue
            status, content = answer
            if status == Status.OK and (isinstance(words, list) or len(content) == words):
                return content
            if status == Status.OK:
                continue
            what = "cannot be " + ("written" if operation is Operation.WRITE else "read")
            raise AcceleratorError(f"the machine behind the link says that address {address:#010x} {what}")
        raise LinkError(
            f"no answer came over the link, {ATTEMPTS} times: check the port, the baud rate, and that the board "
            "carries a FineQ bitstream"
        )

    def _answer(self) -> tuple[int, list[int]] | None:
        """Status and words of the answer to the present request; None if it is damaged or does not come.

        What does not fit is skipped up to the next byte that may begin an answer.
        """
        got = b""
        while True:
            place = got.find(bytes([ANSWER]))
            got = got[place:] if place >= 0 else b""
            size = 1 + _HEAD_BYTES + CHECKSUM_BYTES
            if len(got) > _HEAD_BYTES:
                size += 4 * got[3]
                if got[3] > MAX_WORDS or got[2] != self._sequence:
                    got = got[1:]
                    continue
            if len(got) >= size:
                body, sent = got[1 : size - CHECKSUM_BYTES], got[size - CHECKSUM_BYTES : size]
                if checksum(body) == int.from_bytes(sent, "little"):
                    content = body[_HEAD_BYTES:]
                    words = [int.from_bytes(content[at : at + 4], "little") for at in range(0, len(content), 4)]
                    return body[0], words
                got = got[1:]
                continue
            more = self._line.receive(size - len(got))
            if not more:
                return None
            got += more

    def identify(self, kind: Kind, expected: int) -> int:
        """Check who is there; returns the bytes of its memory.

        Args:
            kind: what should be behind the link.
            expected: `fingerprint` of its configuration.

        Raises:
            LinkError: nothing answers.
            AcceleratorError: something else is there, or a bitstream of another version or configuration.
        """
        magic, version, found, memory = self.read(LINK_BASE, 4)
        if magic != LINK_MAGIC:
            raise AcceleratorError(f"something else than a FineQ board answers: {magic:#010x}, not {LINK_MAGIC:#010x}")
        if version & 0xFFFF != LINK_VERSION:
            raise AcceleratorError(
                f"the bitstream speaks version {version & 0xFFFF} of the link, this program version {LINK_VERSION}: "
                "build the bitstream again (`fineq board build`)"
            )
        if version >> 16 != kind or found != expected:
            raise AcceleratorError(
                "the bitstream on the board was made from another configuration or version of the registers than this "
                "program expects: build it again (`fineq board build`), or name its configuration"
            )
        return memory

    def link_register(self, register: LinkRegister) -> int:
        """A word of the link itself."""
        return self.read(LINK_BASE + register, 1)[0]

    def reset(self) -> None:
        """Reset the machine."""
        self.write(LINK_BASE + LinkRegister.RESET, [1])
