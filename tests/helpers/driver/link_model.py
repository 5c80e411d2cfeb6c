"""A board in Python: the functional model behind the frames of the link."""

from __future__ import annotations

import numpy as np

from fineq_hw.config import ACCELERATORS, AcceleratorConfig
from fineq_hw.interface.link import (
    ANSWER,
    LINK_BASE,
    LINK_MAGIC,
    LINK_VERSION,
    REGISTERS_BASE,
    SYNC,
    LinkRegister,
    checksum,
    fingerprint,
)
from fineq_sim.driver import FunctionalTransport

CONFIG = ACCELERATORS["accelerator_5x7"]


class ModelLine:
    """A board in Python: the functional model behind frames, and a line that can be damaged."""

    def __init__(self, version: int = LINK_VERSION, config: AcceleratorConfig = CONFIG, selftest: int = 1) -> None:
        self.config, self.selftest = config, selftest
        self.model = FunctionalTransport(config, memory_size=1 << 14)
        self.version = version
        self.answers = b""
        self.damage = lambda content: content
        self.garbage = b""
        self.sent = 0

    def send(self, content: bytes) -> None:
        self.sent += 1
        self.answers = b""
        content = self.damage(content)
        if not content or content[0] != SYNC or checksum(content[1:-2]) != int.from_bytes(content[-2:], "little"):
            return
        operation, sequence, count = content[1:4]
        address = int.from_bytes(content[4:8], "little")
        words = [int.from_bytes(content[at : at + 4], "little") for at in range(8, len(content) - 2, 4)]
        found = [self.access(address + 4 * n, words[n] if operation == 2 else None) for n in range(count)]
        status = int(any(word is None for word in found))
        shown = [] if operation == 2 or status else [word for word in found if word is not None]
        body = bytes([status, sequence, len(shown)]) + b"".join(word.to_bytes(4, "little") for word in shown)
        self.answers = self.garbage + bytes([ANSWER]) + body + checksum(body).to_bytes(2, "little")

    def access(self, address: int, word: int | None) -> int | None:
        if address >= LINK_BASE:
            values = {
                LinkRegister.MAGIC: LINK_MAGIC,
                LinkRegister.VERSION: self.version,
                LinkRegister.FINGERPRINT: fingerprint(self.config),
                LinkRegister.MEMORY_BYTES: self.model.memory_size,
                LinkRegister.INTERRUPT: int(self.model.wait(100)),
                LinkRegister.RESET: 0,
                LinkRegister.SELFTEST: self.selftest,
            }
            return values.get(address - LINK_BASE)
        if address >= REGISTERS_BASE:
            if word is None:
                return self.model.read_register(address - REGISTERS_BASE)
            return 0 if self.model.write_register(address - REGISTERS_BASE, word) else None
        if word is None:
            return int(self.model.read_memory(address, 4).view("<u4")[0])
        self.model.write_memory(address, np.array([word], "<u4").view(np.uint8))
        return 0

    def receive(self, size: int) -> bytes:
        found, self.answers = self.answers[:size], self.answers[size:]
        return found

    def close(self) -> None:
        pass
