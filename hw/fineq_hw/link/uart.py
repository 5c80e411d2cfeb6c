"""A UART: 8 data bits, no parity, one stop bit."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out


class UartReceiver(wiring.Component):
    """Bytes from a line.

    Args:
        divisor: clock cycles of a bit, at least 4.

    Ports:
        rx: the line, asynchronous.
        data, valid: a byte, for one cycle; one whose stop bit is missing is dropped.
    """

    def __init__(self, divisor: int) -> None:
        if divisor < 4:
            raise ValueError(f"a bit has {divisor} cycles: use a lower baud rate, of at least 4 cycles a bit")
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "data": Out(8), "valid": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)
        timer = Signal(range(self.divisor + self.divisor // 2))
        bits = Signal(8)
        left = Signal(range(10))
        with m.If(left == 0):
            with m.If(~line):
                m.d.sync += [left.eq(9), timer.eq(self.divisor + self.divisor // 2 - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [left.eq(left - 1), timer.eq(self.divisor - 1)]
            with m.If(left == 1):
                m.d.comb += self.valid.eq(line)
            with m.Else():
                m.d.sync += bits.eq(Cat(bits[1:], line))
        m.d.comb += self.data.eq(bits)
        return m


class UartTransmitter(wiring.Component):
    """Bytes to a line; `valid` with `data` until `ready`.

    Args:
        divisor: clock cycles of a bit.
    """

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"tx": Out(1, init=1), "data": In(8), "valid": In(1), "ready": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        timer = Signal(range(self.divisor))
        bits = Signal(10, init=0x3FF)
        left = Signal(range(11))
        m.d.comb += [self.ready.eq(left == 0), self.tx.eq(bits[0])]
        with m.If(left == 0):
            with m.If(self.valid):
                m.d.sync += [bits.eq(Cat(0, self.data, 1)), left.eq(10), timer.eq(self.divisor - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [left.eq(left - 1), timer.eq(self.divisor - 1), bits.eq(Cat(bits[1:], 1))]
        return m
