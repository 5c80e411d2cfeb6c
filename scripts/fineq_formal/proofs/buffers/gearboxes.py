"""Gearbox: every byte of a run comes out where it belongs, and a run has as many lines as it was told."""

from __future__ import annotations

from amaranth.hdl import Const, Mux, Signal

from fineq_formal.checkers.streams import check_streams
from fineq_formal.proof import Proof
from fineq_formal.setup import Setup, implies
from fineq_hw.buffers.gearbox import Gearbox

_MAX_LINES = 5


def _bytes(setup: Setup, word_bytes: int, line_bytes: int) -> None:
    """Some byte of the run, whichever, is marked."""
    m = setup.m
    dut = setup.add("dut", Gearbox(word_bytes, line_bytes, _MAX_LINES))
    check_streams(setup, dut)
    limit = _MAX_LINES * line_bytes
    place = setup.fixed("place", range(limit))  # of the marked byte in the run
    setup.assume(place < limit)
    # The run: `lines` stay until it is over, and its words are just as many as they take.
    running = Signal()
    setup.assume((dut.lines >= 1) & (dut.lines <= _MAX_LINES))
    setup.assume(implies(running, dut.lines == setup.past(dut.lines, "lines")))
    begin, given = Signal(range(limit + 2 * word_bytes)), Signal(range(_MAX_LINES + 2))
    accept = dut.words.valid & dut.words.ready
    needed = Signal(range(limit + 1))
    m.d.comb += needed.eq(dut.lines * line_bytes)
    is_last = begin + word_bytes >= needed
    setup.assume(implies(dut.words.valid, dut.words.payload.last == is_last))
    ended = Signal()
    seen, byte = Signal(), Signal(8)
    offset = Signal(range(2 * word_bytes + 1))
    m.d.comb += offset.eq(place - begin)
    inside = (place >= begin) & (place < begin + word_bytes)
    with m.If(accept):
        m.d.sync += [begin.eq(begin + word_bytes), running.eq(1), ended.eq(is_last)]
        with m.If(inside):
            m.d.sync += [
                seen.eq(1),
                byte.eq(dut.words.payload.data.word_select(offset[: (word_bytes - 1).bit_length()], 8)),
            ]
    with m.If(dut.line_valid):
        m.d.sync += given.eq(given + 1)
    with m.If(dut.done):
        m.d.sync += [begin.eq(0), given.eq(0), running.eq(0), ended.eq(0), seen.eq(0)]
    first = Signal(range(limit + line_bytes))
    m.d.comb += first.eq(given * line_bytes)
    position = Signal(range(limit + line_bytes))
    m.d.comb += position.eq(place - first)
    here = dut.line_valid & (place >= first) & (place < first + line_bytes)
    setup.check(implies(here, seen), "no byte before it came")
    setup.check(
        implies(here, dut.line.word_select(position[: line_bytes.bit_length()], 8) == byte), "bytes keep their order"
    )
    setup.check(implies(dut.line_valid, given < dut.lines), "no more lines than asked for")
    setup.check(implies(dut.done, (given == dut.lines) & ended), "done when the last line and the last word have been")
    waited = Signal(range(8))
    m.d.sync += waited.eq(Mux(ended & ~dut.done, waited + 1, 0))
    bound = -(-word_bytes // line_bytes) + 2
    setup.check(waited < Const(min(7, bound)), "a run is over soon after its last word")
    whole = Signal(range(limit + 2 * word_bytes))
    m.d.comb += whole.eq(first + line_bytes)
    setup.check(
        implies(running & (begin >= whole) & (given < dut.lines), dut.line_valid),
        "a line leaves when its last byte came",
    )


PROOFS = tuple(
    Proof(
        f"buffers/gearbox/order-{words}x{lines}",
        f"Words of {words} bytes to lines of {lines}: every byte in its place, as many lines as asked for, "
        f"in runs of up to {_MAX_LINES} lines",
        lambda setup, words=words, lines=lines: _bytes(setup, words, lines),  # type: ignore[misc]
        short=(words, lines) == (2, 3),
    )
    for words, lines in ((2, 3), (4, 3), (4, 7), (2, 1), (4, 4))
)
