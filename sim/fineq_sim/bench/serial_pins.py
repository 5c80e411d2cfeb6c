"""A serial line at the pins of a design, for a driver that runs in a thread of its own; frames can be damaged on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cocotb
from cocotb.task import resume
from cocotb.triggers import ClockCycles, FallingEdge, First

_PATIENCE_CHARACTERS = 400
"""A receiver waits for so many characters' time."""


class SerialPins:
    """A `fineq_sim.link.port.Line` at the ports `rx` and `tx`.

    Args:
        dut: the design.
        divisor: clock cycles of a bit.

    Attributes:
        damage: changes what is sent; the identity at first.
        damage_received: changes what has come, a byte at a time; none: the byte is lost.
        pause: characters' time that passes in the middle of what is sent.
    """

    def __init__(self, dut: Any, divisor: int) -> None:
        self._dut, self._divisor = dut, divisor
        self._received: list[int] = []
        self.damage: Callable[[bytes], bytes] = lambda content: content
        self.damage_received: Callable[[int], int | None] = lambda byte: byte
        self.pause = 0
        self.send = resume(self._send)
        self.receive = resume(self._receive)
        dut.rx.value = 1
        cocotb.start_soon(self._listen())

    def close(self) -> None:
        """The simulation ends with its test."""

    async def _bits(self, count: float) -> None:
        await ClockCycles(self._dut.clk, round(count * self._divisor))

    async def _send(self, content: bytes) -> None:
        self._received.clear()
        content = self.damage(content)
        for number, byte in enumerate(content):
            if self.pause and number == len(content) // 2:
                await self._bits(10 * self.pause)
            for bit in (0, *(byte >> place & 1 for place in range(8)), 1):
                self._dut.rx.value = bit
                await self._bits(1)

    async def _listen(self) -> None:
        while True:
            if int(self._dut.tx.value):
                await FallingEdge(self._dut.tx)
            await self._bits(1.5)
            byte = 0
            for place in range(8):
                byte |= int(self._dut.tx.value) << place
                await self._bits(1)
            assert int(self._dut.tx.value), "a character without a stop bit"
            changed = self.damage_received(byte)
            if changed is not None:
                self._received.append(changed)

    async def _receive(self, size: int) -> bytes:
        for _ in range(_PATIENCE_CHARACTERS):
            if len(self._received) >= size:
                break
            await First(ClockCycles(self._dut.clk, 10 * self._divisor))
        found, self._received[:size] = bytes(self._received[:size]), []
        return found
