"""Bus words to weight lines of another width."""

from __future__ import annotations

from math import gcd

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import PART


class Gearbox(VerilogComponent):
    """Cuts a run of bus words into lines; what is left in the last word of a run is dropped.

    At most one line a cycle. A word is taken in every cycle in which what is stored, less the line that leaves,
    is less than a line: with lines longer than a word that is every cycle but the one or two after a run.
    A line leaves in the cycle after its last byte came.

    Args:
        word_bytes: bytes of a word, a power of 2.
        line_bytes: bytes of a line, from 1 on.

    Ports:
        words: `data`, and `last` with the last word of a run.
        lines: lines in the run, at least 1; read when the run's last line leaves.
        line, line_valid: a line, first byte lowest; there is no waiting.
        done: one cycle, when the last line and the last word have been: the run is over.
    """

    KIND = "gearbox"
    ROLE = PART

    def __init__(self, word_bytes: int, line_bytes: int, max_lines: int) -> None:
        self.word_bytes = word_bytes
        self.line_bytes = line_bytes
        self.max_lines = max_lines
        super().__init__(
            {
                "words": In(stream.Signature(data.StructLayout({"data": 8 * word_bytes, "last": 1}))),
                "lines": In(range(max_lines + 1)),
                "line": Out(8 * line_bytes),
                "line_valid": Out(1),
                "done": Out(1),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (self.word_bytes, self.line_bytes, self.max_lines)

    def elaborate(self, platform) -> Module:
        m = Module()
        # The store counts in units that divide both words and lines.
        unit = gcd(self.word_bytes, self.line_bytes)
        word, line = self.word_bytes // unit, self.line_bytes // unit
        store = Signal(8 * unit * (line + word - 1))
        stored = Signal(range(line + word))
        given = Signal(range(self.max_lines + 1))
        ended = Signal()  # the run's last word is in the store
        complete = given == self.lines

        rest = Signal.like(stored)  # units that stay
        accept = Signal()
        m.d.comb += [
            self.line_valid.eq(stored >= line),
            self.line.eq(store),
            rest.eq(stored - Mux(self.line_valid, line, 0)),
            # Words beyond the last line are padding; what follows the run has to wait.
            self.words.ready.eq(~ended & (rest < line)),
            accept.eq(self.words.valid & self.words.ready),
            self.done.eq(ended & complete),
        ]
        kept = Signal.like(store)
        m.d.comb += kept.eq(Mux(self.line_valid, store >> (8 * self.line_bytes), store))
        with m.If(accept):
            m.d.sync += stored.eq(rest + word)
            with m.Switch(rest):
                for offset in range(line):
                    with m.Case(offset):
                        start = 8 * unit * offset
                        below = kept[:start]
                        m.d.sync += store.eq(below | (self.words.payload.data << start))
        with m.Elif(self.line_valid):
            m.d.sync += [stored.eq(rest), store.eq(kept)]
        with m.If(accept & self.words.payload.last):
            m.d.sync += ended.eq(1)
        with m.If(self.line_valid):
            m.d.sync += given.eq(given + 1)
        # A line that would follow the last one consists of padding.
        last_given = self.line_valid & (given + 1 == self.lines)
        with m.If(last_given | complete):
            m.d.sync += stored.eq(0)
        with m.If(self.done):
            m.d.sync += [given.eq(0), ended.eq(0), stored.eq(0)]
        return m
