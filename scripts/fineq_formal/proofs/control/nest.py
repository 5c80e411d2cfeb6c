"""A reference of the tile nest, written from its definition, and the addresses of everything that walks it."""

from __future__ import annotations

from amaranth.hdl import Mux, Signal, Value
from amaranth.utils import exact_log2

from fineq_formal.setup import Setup
from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.jobs import SIZE_BITS


class Nest:
    """Where a walk is: what is left and what has been done of tokens, channels and innermost steps.

    Args:
        setup: gets the registers.
        config: tile sizes.
        tokens, channels, inner: of the job, at least 1.
        start, advance: as of `TileWalk`.

    Attributes:
        active: there is a position.
        tokens_left, tokens_done, tile_tokens: before the position, and of its tile.
        channels_left, channels_done, tile_channels: the same of channels; a tile taken in portions counts as two.
        whole_done: channels of the tile that earlier portions had.
        whole: channels of the whole tile that the position belongs to.
        inner_left, inner_done: innermost steps.
        first_inner, last_inner, last_channels, last_tokens: ends of the loops.
        last_portion: no portion of the tile follows.
    """

    def __init__(
        self,
        setup: Setup,
        config: AcceleratorConfig,
        tokens: Value,
        channels: Value,
        inner: Value,
        start: Value,
        advance: Value,
    ) -> None:
        m = setup.m
        rows, largest, portion = config.array.rows, config.channels_per_tile, config.final_channels
        self.active = Signal(name="nest_active")
        names = (
            "tokens_left",
            "tokens_done",
            "channels_left",
            "channels_done",
            "inner_left",
            "inner_done",
            "whole_done",
        )
        for name in names:
            setattr(self, name, Signal(SIZE_BITS, name=f"nest_{name}"))
        self.tokens_left: Signal
        self.tokens_done: Signal
        self.channels_left: Signal
        self.channels_done: Signal
        self.inner_left: Signal
        self.inner_done: Signal
        self.whole_done: Signal
        self.tile_tokens = Signal(SIZE_BITS, name="nest_tile_tokens")
        self.tile_channels = Signal(SIZE_BITS, name="nest_tile_channels")
        self.whole = Signal(SIZE_BITS + 1, name="nest_whole")
        self.last_tokens = self.tokens_left <= rows
        # The last tile of the job ends with a small portion; what comes before is a multiple of it.
        split = self.last_tokens & (self.channels_left <= largest) & (self.channels_left > portion)
        rounded = (self.channels_left - 1) >> exact_log2(portion) << exact_log2(portion)
        self.last_channels = (self.channels_left <= largest) & ~split
        self.last_inner = self.inner_left == 1
        self.last_portion = ~split
        in_tile = Mux(split, rounded, Mux(self.channels_left <= largest, self.channels_left, largest))
        reach = self.whole_done + self.channels_left
        m.d.comb += [
            self.tile_tokens.eq(Mux(self.last_tokens, self.tokens_left, rows)),
            self.tile_channels.eq(in_tile),
            self.whole.eq(Mux(reach <= largest, reach, largest)),
        ]
        self.first_inner = Signal(name="nest_first_inner")
        with m.If(start):
            m.d.sync += self.first_inner.eq(1)
        with m.Elif(advance):
            m.d.sync += self.first_inner.eq(self.last_inner)
        with m.If(start):
            m.d.sync += [self.active.eq(1), self.tokens_left.eq(tokens), self.channels_left.eq(channels)]
            m.d.sync += [self.tokens_done.eq(0), self.channels_done.eq(0), self.inner_done.eq(0)]
            m.d.sync += [self.inner_left.eq(inner), self.whole_done.eq(0)]
        with m.Elif(advance):
            with m.If(~self.last_inner):
                m.d.sync += [self.inner_left.eq(self.inner_left - 1), self.inner_done.eq(self.inner_done + 1)]
            with m.Else():
                m.d.sync += [self.inner_left.eq(inner), self.inner_done.eq(0)]
                m.d.sync += self.whole_done.eq(Mux(split, self.tile_channels, 0))
                with m.If(~self.last_channels):
                    m.d.sync += [
                        self.channels_left.eq(self.channels_left - self.tile_channels),
                        self.channels_done.eq(self.channels_done + self.tile_channels),
                    ]
                with m.Else():
                    m.d.sync += [self.channels_left.eq(channels), self.channels_done.eq(0)]
                    with m.If(self.last_tokens):
                        m.d.sync += self.active.eq(0)
                    with m.Else():
                        m.d.sync += [
                            self.tokens_left.eq(self.tokens_left - rows),
                            self.tokens_done.eq(self.tokens_done + rows),
                        ]

    def check_cover(self, setup: Setup, tokens: Value, channels: Value, inner: Value) -> None:
        """Tiles lie end to end: none leaves the job, and what is done and what is left are all of it."""
        active = ~self.active
        setup.check(active | (self.tokens_done + self.tokens_left == tokens), "token tiles lie end to end")
        setup.check(active | (self.channels_done + self.channels_left == channels), "channel tiles lie end to end")
        setup.check(active | (self.inner_left != 0), "no inner step beyond the last")
        setup.check(active | (self.inner_done + self.inner_left == inner), "inner steps follow one another")
        setup.check(
            active | ((self.tile_tokens != 0) & (self.tile_tokens <= self.tokens_left)), "no tile beyond tokens"
        )
        fits = (self.tile_channels != 0) & (self.tile_channels <= self.channels_left)
        setup.check(active | fits, "no tile beyond channels")
        setup.check(active | (self.first_inner == (self.inner_done == 0)), "the first inner step is the first")
