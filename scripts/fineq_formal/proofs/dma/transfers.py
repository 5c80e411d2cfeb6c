"""A transfer as the sequence of its words, for the proofs of both engines."""

from __future__ import annotations

from amaranth.hdl import Mux, Signal, Value
from amaranth.lib import stream
from amaranth.utils import exact_log2

from fineq_formal.setup import Setup
from fineq_hw.config import AcceleratorConfig
from fineq_hw.lib.machine_streams import transfer_layout


class WordWalk:
    """Walks the words of the command that a stream accepts, one at a time; the next command waits until it is through.

    Assumes that addresses and strides are whole words, and that a command is small: 1 or 2 rows of up to 5 words in the
    first pages. The proof of the burst splitter has them all.

    Args:
        setup: gets registers and assumptions.
        config: of the engine.
        commands: into the engine.
        advance: the next word has been.
        name: for the registers.

    Attributes:
        active: there is a word.
        address: of the word.
        row_last, last: ends its row, its command.
    """

    def __init__(
        self, setup: Setup, config: AcceleratorConfig, commands: stream.Interface, advance: Value, name: str
    ) -> None:
        m = setup.m
        command, shift = commands.payload, exact_log2(config.bus_bytes)
        fields = transfer_layout(config).members
        setup.assume((command.address[:shift] == 0) & (command.stride[:shift] == 0))
        setup.assume((command.rows != 0) & (command.row_bytes != 0))
        setup.assume((command.rows <= 2) & (command.row_bytes <= 5 * config.bus_bytes))
        setup.assume((command.address < 8192) & (command.stride < 256))
        self.active = Signal(name=f"{name}_active")
        self.address, row = Signal(config.address_bits, name=f"{name}_address"), Signal(config.address_bits)
        words, words_left = Signal(fields["row_bytes"]), Signal(fields["row_bytes"])
        rows_left, stride = Signal(fields["rows"]), Signal(fields["stride"])
        self.row_last = words_left == 1
        self.last = self.row_last & (rows_left == 1)
        setup.assume(~(commands.valid & self.active))
        with m.If(advance):
            m.d.sync += [words_left.eq(words_left - 1), self.address.eq(self.address + config.bus_bytes)]
            with m.If(self.row_last):
                m.d.sync += [rows_left.eq(rows_left - 1), words_left.eq(words)]
                m.d.sync += [row.eq(row + stride), self.address.eq(row + stride)]
            with m.If(self.last):
                m.d.sync += self.active.eq(0)
        with m.If(commands.valid & commands.ready):
            count = (command.row_bytes + config.bus_bytes - 1) >> shift
            m.d.sync += [self.active.eq(1), self.address.eq(command.address), row.eq(command.address)]
            m.d.sync += [words.eq(count), words_left.eq(count), rows_left.eq(command.rows), stride.eq(command.stride)]


def settled(setup: Setup, condition: Value, bound: int, name: str) -> Value:
    """Whether a condition has held for at least so many cycles without a break."""
    count = Signal(range(bound + 1), name=f"cycles_{name}")
    setup.m.d.sync += count.eq(Mux(condition, Mux(count == bound, bound, count + 1), 0))
    return count == bound
