"""What the buffers of the accelerator share: bookkeeping of two halves, and streams out of a memory."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib.memory import ReadPort
from amaranth.lib.wiring import In, Out

from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import PART


class DoubleBuffer(VerilogComponent):
    """Who may use which half of a double buffer: each half is reserved, filled, played and released in turn.

    Ports:
        reserve: the half `reserve_half` is now spoken for; only while `can_reserve`.
        fill: the half `fill_half` has all its contents.
        release: the half `play_half` is not needed any more; only while `can_play`.
        can_reserve: a half is neither reserved nor in use.
        can_play: the half `play_half` is filled.
        pending: a reserved half does not have all its contents yet.
        idle: nothing is reserved or in use.
    """

    KIND = "double_buffer"
    ROLE = PART

    reserve: In(1)
    fill: In(1)
    release: In(1)
    can_reserve: Out(1, init=1)
    can_play: Out(1)
    pending: Out(1)
    idle: Out(1)
    reserve_half: Out(1)
    fill_half: Out(1)
    play_half: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        reserved = Signal(range(3))
        filled = Signal(range(3))
        m.d.sync += [
            reserved.eq(reserved + self.reserve - self.release),
            filled.eq(filled + self.fill - self.release),
            self.reserve_half.eq(self.reserve_half ^ self.reserve),
            self.fill_half.eq(self.fill_half ^ self.fill),
            self.play_half.eq(self.play_half ^ self.release),
        ]
        m.d.comb += [
            self.can_reserve.eq(reserved != 2),
            self.can_play.eq(filled != 0),
            self.pending.eq(reserved != filled),
            self.idle.eq(reserved == 0),
        ]
        return m


def stream_reads(m: Module, ports: list[ReadPort], available: Value, valid: Signal, ready: Value) -> Signal:
    """Make the read registers of memories the payload of a stream, one beat a cycle.

    The registers keep what they hold while the beat waits, so nothing else has to buffer it.

    Args:
        m: the module that drives `valid`.
        ports: their `en` is driven here, their addresses by the caller.
        available: the addresses are worth reading.
        valid: of the stream; driven here.
        ready: of the stream.

    Returns:
        High in a cycle that reads: the caller then moves on to the next address, and registers what
        accompanies the beat.
    """
    read = Signal()
    m.d.comb += read.eq(available & (~valid | ready))
    m.d.comb += [port.en.eq(read) for port in ports]
    with m.If(read):
        m.d.sync += valid.eq(1)
    with m.Elif(ready):
        m.d.sync += valid.eq(0)
    return read
