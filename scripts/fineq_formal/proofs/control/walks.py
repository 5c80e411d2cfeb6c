"""Tile walk: the positions of the tile nest, and nothing beyond the job."""

from __future__ import annotations

from amaranth.hdl import Signal

from fineq_formal.configurations import TINY
from fineq_formal.proof import Engine, Proof
from fineq_formal.proofs.control.nest import Nest
from fineq_formal.setup import Setup, implies
from fineq_hw.config import ACCELERATORS, AcceleratorConfig
from fineq_hw.control.tile_walk import TileWalk
from fineq_hw.interface.jobs import SIZE_BITS


def _sizes(setup: Setup) -> list[Signal]:
    """Of any job: tokens, channels and innermost steps."""
    sizes = [setup.fixed(name, SIZE_BITS) for name in ("tokens", "channels", "inner")]
    for size in sizes:
        setup.assume(size != 0)
    return sizes


def _positions(setup: Setup, config: AcceleratorConfig) -> None:
    """Beside the definition of the nest."""
    dut = setup.add("dut", TileWalk(config), driven=("tokens", "channels", "inner"))
    tokens, channels, inner = _sizes(setup)
    setup.m.d.comb += [dut.tokens.eq(tokens), dut.channels.eq(channels), dut.inner.eq(inner)]
    setup.assume(implies(dut.advance, dut.active))
    nest = Nest(setup, config, tokens, channels, inner, dut.start, dut.advance)
    setup.check(dut.active == nest.active, "active until the last position has been left")
    for name, value in {
        "tokens_in_tile": nest.tile_tokens,
        "channels_in_tile": nest.tile_channels,
        "image_channels": nest.whole,
        "first_inner": nest.first_inner,
        "last_inner": nest.last_inner,
        "last_channels": nest.last_channels,
        "last_tokens": nest.last_tokens,
        "last_portion": nest.last_portion,
    }.items():
        setup.check(implies(dut.active, getattr(dut, name) == value), f"{name} is that of the nest")


_FIRST_TILE = 3
"""Cycles until there has been one. Fewer do for the induction, but would not refute a reference that is wrong."""


def _cover(setup: Setup, config: AcceleratorConfig) -> None:
    """Of the nest alone: the proofs of the blocks show that they walk it."""
    tokens, channels, inner = _sizes(setup)
    start, advance = setup.free("start"), setup.free("advance")
    nest = Nest(setup, config, tokens, channels, inner, start, advance)
    setup.assume(implies(advance, nest.active))
    nest.check_cover(setup, tokens, channels, inner)


PROOFS = (
    Proof(
        "control/tile_walk/positions",
        "The walk visits the positions of the tile nest, in order: all sizes",
        lambda setup: _positions(setup, TINY),
        short=True,
    ),
    Proof(
        "control/tile_walk/positions-64x64",
        "The same for the walk of the 64x64 accelerator",
        lambda setup: _positions(setup, ACCELERATORS["accelerator_64x64"]),
    ),
    Proof(
        "control/tile_walk/cover",
        "Tiles of the nest lie end to end, none is empty, and none leaves the job: all sizes",
        lambda setup: _cover(setup, TINY),
        Engine("induction", _FIRST_TILE),
    ),
    Proof(
        "control/tile_walk/cover-64x64",
        "The same for the 64x64 accelerator",
        lambda setup: _cover(setup, ACCELERATORS["accelerator_64x64"]),
        Engine("induction", _FIRST_TILE),
    ),
)
