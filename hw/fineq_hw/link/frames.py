"""Frames from the line become accesses, their answers frames to the line (`fineq_hw.interface.link`)."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from fineq_hw.interface.link import ANSWER, CHECKSUM_BYTES, HEADER_BYTES, MAX_WORDS, SYNC, Operation, Status
from fineq_hw.link.word_bus import word_bus


def checksum_step(value: Value, byte: Value) -> Value:
    """CRC-16/CCITT-FALSE after one more byte."""
    bits = [value[place] ^ byte[place - 8] if place >= 8 else value[place] for place in range(16)]
    for _ in range(8):
        top = bits[15]
        bits = [
            top if place == 0 else bits[place - 1] ^ top if place in (5, 12) else bits[place - 1] for place in range(16)
        ]
    return Cat(*bits)


class FrameEndpoint(wiring.Component):
    """The device's end of the link.

    Nothing is done before a checksum was right. A frame that pauses for `gap` cycles, or whose checksum is wrong, is
    thrown away and counted; the next SYNC begins a new one. A write whose sequence number is that of the frame before
    is answered as that one was, and not done again.

    Args:
        gap: cycles.

    Ports:
        received, received_valid: bytes from the line.
        sent, sent_valid, sent_ready: bytes to the line.
        bus: accesses.
        bad_frames: thrown away so far; stays at its largest.
    """

    def __init__(self, gap: int) -> None:
        self.gap = gap
        super().__init__(
            {
                "received": In(8),
                "received_valid": In(1),
                "sent": Out(8),
                "sent_valid": Out(1),
                "sent_ready": In(1),
                "bus": Out(word_bus),
                "bad_frames": Out(16),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.words = words = Memory(shape=32, depth=MAX_WORDS, init=[])
        write, read = words.write_port(), words.read_port(domain="sync")
        crc, silence = Signal(16), Signal(range(self.gap + 1))
        place = Signal(range(HEADER_BYTES + 1))
        operation, sequence, count, address = Signal(8), Signal(8), Signal(8), Signal(32)
        word, byte, left = Signal(32), Signal(2), Signal(range(CHECKSUM_BYTES + 1))
        number = Signal(range(MAX_WORDS + 1))
        status, last, last_status, known = Signal(8), Signal(8), Signal(8), Signal()
        byte_in = self.received
        writing = operation == Operation.WRITE
        m.d.comb += [write.addr.eq(number), write.data.eq(Cat(word[8:], byte_in)), read.addr.eq(number)]

        def throw_away() -> None:
            m.d.sync += self.bad_frames.eq(self.bad_frames + (self.bad_frames != 0xFFFF))
            m.next = "IDLE"

        receiving = Signal()
        m.d.sync += silence.eq(Mux(receiving & ~self.received_valid, silence + 1, 0))
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [crc.eq(0xFFFF), place.eq(0), number.eq(0), byte.eq(0), left.eq(CHECKSUM_BYTES)]
                with m.If(self.received_valid & (byte_in == SYNC)):
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += receiving.eq(1)
                with m.If(self.received_valid):
                    m.d.sync += [
                        Cat(operation, sequence, count, address).eq(
                            Cat(Cat(operation, sequence, count, address)[8:], byte_in)
                        ),
                        crc.eq(checksum_step(crc, byte_in)),
                        place.eq(place + 1),
                    ]
                    with m.If(place == HEADER_BYTES - 1):
                        m.next = "WORDS"
                with m.Elif(silence == self.gap):
                    throw_away()
            with m.State("WORDS"):
                m.d.comb += receiving.eq(1)
                with m.If(~writing | (count == number) | (count > MAX_WORDS)):
                    with m.If(self.received_valid):  # of the checksum
                        m.d.sync += [word.eq(Cat(word[8:], byte_in)), left.eq(left - 1)]
                        with m.If(left == 1):
                            with m.If(Cat(word[24:], byte_in) == crc):
                                m.d.sync += [number.eq(0), status.eq(Status.OK)]
                                m.next = "CHECK"
                            with m.Else():
                                throw_away()
                with m.Elif(self.received_valid):
                    m.d.sync += [
                        word.eq(Cat(word[8:], byte_in)),
                        byte.eq(byte + 1),
                        crc.eq(checksum_step(crc, byte_in)),
                    ]
                    with m.If(byte == 3):
                        m.d.comb += write.en.eq(1)
                        m.d.sync += number.eq(number + 1)
                with m.If(~self.received_valid & (silence == self.gap)):
                    throw_away()
            with m.State("CHECK"):
                m.d.sync += byte.eq(0)
                m.next = "FETCH"
                with m.If((~writing & (operation != Operation.READ)) | (count > MAX_WORDS) | (count == 0)):
                    m.d.sync += status.eq(Status.BAD_REQUEST)
                    m.next = "SYNC"
                with m.Elif(writing & known & (sequence == last)):
                    m.d.sync += status.eq(last_status)
                    m.next = "SYNC"
            with m.State("FETCH"):  # the word to write is there after a cycle
                m.next = "ACCESS"
            with m.State("ACCESS"):
                m.d.comb += [
                    self.bus.valid.eq(1),
                    self.bus.write.eq(writing),
                    self.bus.address.eq(address),
                    self.bus.data.eq(read.data),
                ]
                with m.If(self.bus.ready):
                    m.d.comb += [write.data.eq(self.bus.answer), write.en.eq(~writing)]
                    m.d.sync += [number.eq(number + 1), address.eq(address + 4)]
                    with m.If(self.bus.error):
                        m.d.sync += status.eq(Status.BUS_ERROR)
                    m.next = "FETCH"
                    with m.If(number + 1 == count):
                        m.next = "SYNC"
            with m.State("SYNC"):
                m.d.sync += [crc.eq(0xFFFF), number.eq(0), place.eq(0), byte.eq(0)]
                m.d.sync += [last.eq(sequence), last_status.eq(status), known.eq(writing)]
                self._send(m, Value.cast(ANSWER))
                with m.If(self.sent_ready):
                    m.next = "HEAD"
            with m.State("HEAD"):
                shown = Mux(~writing & (status == Status.OK), count, 0)
                content = Signal(8)
                m.d.comb += content.eq(Cat(status, sequence, shown[:8]).word_select(place[:2], 8))
                self._send(m, content)
                with m.If(self.sent_ready):
                    m.d.sync += [crc.eq(checksum_step(crc, content)), place.eq(place + 1)]
                    with m.If(place == 2):
                        m.next = "CHECKSUM"
                        with m.If(shown != 0):
                            m.next = "CONTENT"
            with m.State("CONTENT"):
                m.d.sync += left.eq(CHECKSUM_BYTES)
                piece = Signal(8)
                m.d.comb += piece.eq(read.data.word_select(byte, 8))
                self._send(m, piece)
                with m.If(self.sent_ready):
                    m.d.sync += [crc.eq(checksum_step(crc, piece)), byte.eq(byte + 1)]
                    with m.If(byte == 3):
                        m.d.sync += number.eq(number + 1)
                        m.next = "NEXT"
                        with m.If(number + 1 == count):
                            m.d.sync += byte.eq(0)
                            m.next = "CHECKSUM"
            with m.State("NEXT"):  # the next word is there after a cycle
                m.next = "CONTENT"
            with m.State("CHECKSUM"):
                self._send(m, crc.word_select(byte[0], 8))
                with m.If(self.sent_ready):
                    m.d.sync += byte.eq(byte + 1)
                    with m.If(byte == CHECKSUM_BYTES - 1):
                        m.next = "IDLE"
        return m

    def _send(self, m: Module, content: Value) -> None:
        m.d.comb += [self.sent.eq(content), self.sent_valid.eq(1)]
