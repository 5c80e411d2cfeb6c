"""Double buffer: each half is reserved, filled, played and released in turn."""

from __future__ import annotations

from amaranth.hdl import Array, Signal

from fineq_formal.proof import Proof
from fineq_formal.setup import Setup, implies
from fineq_hw.buffers.double_buffer import DoubleBuffer

_FREE, _RESERVED, _FILLED = range(3)


def _turns(setup: Setup) -> None:
    """What each half is in."""
    m = setup.m
    dut = setup.add("dut", DoubleBuffer())
    states = Array(Signal(range(3), name=f"half_{half}") for half in range(2))
    setup.assume(implies(dut.reserve, dut.can_reserve))
    setup.assume(implies(dut.release, dut.can_play))
    # A half may be reserved and filled in one cycle, as the output buffer does.
    setup.assume(implies(dut.fill, dut.pending | dut.reserve))
    both = dut.reserve & dut.fill & (dut.reserve_half == dut.fill_half)
    with m.If(dut.reserve):
        m.d.sync += states[dut.reserve_half].eq(_RESERVED)
    with m.If(dut.fill):
        m.d.sync += states[dut.fill_half].eq(_FILLED)
    with m.If(dut.release):
        m.d.sync += states[dut.play_half].eq(_FREE)
    free, reserved, filled = ([(states[half] == state) for half in range(2)] for state in (_FREE, _RESERVED, _FILLED))
    setup.check(implies(dut.reserve, states[dut.reserve_half] == _FREE), "only a free half is reserved")
    setup.check(implies(dut.fill & ~both, states[dut.fill_half] == _RESERVED), "only a reserved half is filled")
    setup.check(implies(dut.can_play, states[dut.play_half] == _FILLED), "only a filled half is played")
    setup.check(dut.can_reserve == (free[0] | free[1]), "a free half can be reserved, and no other")
    setup.check(dut.can_play == (filled[0] | filled[1]), "a filled half can be played")
    setup.check(dut.pending == (reserved[0] | reserved[1]), "pending while a reserved half is not filled")
    setup.check(dut.idle == (free[0] & free[1]), "idle when both halves are free")
    writes = dut.pending & dut.can_play
    setup.check(implies(writes, dut.fill_half != dut.play_half), "nobody reads the half that is being filled")


PROOFS = (
    Proof(
        "buffers/double_buffer/turns",
        "Halves are reserved, filled, played and released in turn; none is read while it is filled",
        _turns,
        short=True,
    ),
)
