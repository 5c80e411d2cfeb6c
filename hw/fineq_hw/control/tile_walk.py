"""The order in which a job is worked off: the one definition of the tile nest in hardware.

    for each token tile (up to `rows` tokens)
        for each channel tile (up to `channels_per_tile` channels; the last of the job in two portions)
            for each inner step (an inner tile, or a group of them that shares its weight lines)

Every block of the accelerator walks the nest of the held job on its own; the streams between the blocks keep
them together. What the array finishes last can only be written after it, so the last tile of a job ends with a small
portion of at most `final_channels` channels: little is left to write when the array is done. The portion before it
has a multiple of so many channels.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.jobs import SIZE_BITS
from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import PART


class TileWalk(VerilogComponent):
    """Position in the tile nest. Outputs are registers or one subtraction and comparison behind them.

    Ports:
        tokens, channels, inner: sizes of the job, at least 1; held still from `start` on. `inner` is the number
            of innermost steps: inner tiles, line groups, or 1 to walk token and channel tiles alone.
        start: begin at the first position, seen in the next cycle.
        advance: go on to the next position.
        active: there is a position; low from the cycle after `advance` at the last one.
        tokens_in_tile, channels_in_tile: size of the tile at the position.
        image_channels: channels of the whole channel tile that the position belongs to, as the weight image has
            it: more than `channels_in_tile` where the tile is taken in portions.
        last_portion: the position's channels are the last of that whole tile.
        first_inner, last_inner: ends of the inner loop.
        last_channels, last_tokens: ends of the loops around it.
    """

    KIND = "tile_walk"
    ROLE = PART

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "tokens": In(SIZE_BITS),
                "channels": In(SIZE_BITS),
                "inner": In(SIZE_BITS),
                "start": In(1),
                "advance": In(1),
                "active": Out(1),
                "tokens_in_tile": Out(range(config.array.rows + 1)),
                "channels_in_tile": Out(range(config.channels_per_tile + 1)),
                "image_channels": Out(range(config.channels_per_tile + 1)),
                "last_portion": Out(1),
                "first_inner": Out(1),
                "last_inner": Out(1),
                "last_channels": Out(1),
                "last_tokens": Out(1),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        config = self.config
        return (f"{config.array.rows}x{config.channels_per_tile}", config.final_channels)

    def follow(self, m: Module, start: Value, job: View, inner: Value | int) -> None:
        """Drive everything but `advance` from a held job, in the module that holds the walk."""
        sizes = [self.tokens.eq(job.tokens), self.channels.eq(job.channels), self.inner.eq(inner)]
        m.d.comb += [self.start.eq(start), *sizes]

    def elaborate(self, platform) -> Module:
        m = Module()
        rows, whole, portion = self.config.array.rows, self.config.channels_per_tile, self.config.final_channels
        tokens_left = Signal(SIZE_BITS)
        channels_left = Signal(SIZE_BITS)
        inner_left = Signal(SIZE_BITS)
        portion_start = Signal(range(whole))  # position within the whole channel tile
        split = Signal()  # first portion of the last tile
        limit = Signal(range(whole + 1))

        before_end = portion_start + channels_left
        low = exact_log2(portion)
        all_but_last_portion = Cat(Const(0, low), (channels_left - 1)[low : len(limit)])
        m.d.comb += [
            self.last_tokens.eq(tokens_left <= rows),
            split.eq(self.last_tokens & (channels_left > portion) & (channels_left <= whole)),
            limit.eq(Mux(split, all_but_last_portion, whole)),
            self.last_channels.eq(~split & (channels_left <= whole)),
            self.last_inner.eq(inner_left == 1),
            self.tokens_in_tile.eq(Mux(self.last_tokens, tokens_left, rows)),
            self.channels_in_tile.eq(Mux(self.last_channels, channels_left, limit)),
            self.image_channels.eq(Mux(before_end <= whole, before_end, whole)),
            self.last_portion.eq(~split),
        ]
        with m.If(self.start):
            m.d.sync += [
                self.active.eq(1),
                tokens_left.eq(self.tokens),
                channels_left.eq(self.channels),
                inner_left.eq(self.inner),
                portion_start.eq(0),
                self.first_inner.eq(1),
            ]
        with m.Elif(self.advance):
            m.d.sync += self.first_inner.eq(self.last_inner)
            with m.If(~self.last_inner):
                m.d.sync += inner_left.eq(inner_left - 1)
            with m.Else():
                m.d.sync += inner_left.eq(self.inner)
                with m.If(self.last_portion):
                    m.d.sync += portion_start.eq(0)
                with m.Else():
                    m.d.sync += portion_start.eq(limit)
                with m.If(~self.last_channels):
                    m.d.sync += channels_left.eq(channels_left - limit)
                with m.Else():
                    m.d.sync += channels_left.eq(self.channels)
                    with m.If(self.last_tokens):
                        m.d.sync += self.active.eq(0)
                    with m.Else():
                        m.d.sync += tokens_left.eq(tokens_left - rows)
        return m
