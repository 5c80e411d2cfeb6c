"""Tile counts of the descriptor unit: quotients, rounded up, from the definition of a quotient."""

from __future__ import annotations

from amaranth.hdl import Signal, Value

from fineq_formal.configurations import TINY
from fineq_formal.proof import Engine, Proof
from fineq_formal.setup import Setup, implies
from fineq_hw.config import ACCELERATORS, AcceleratorConfig
from fineq_hw.control.tile_counts import TileCounts
from fineq_hw.interface.jobs import SIZE_BITS


def _quotients(setup: Setup, config: AcceleratorConfig) -> None:
    """The same two numbers are divided again and again, begun anew at any time."""
    counts = TileCounts(config)
    inner, tokens = setup.fixed("inner", SIZE_BITS), setup.fixed("tokens", SIZE_BITS)
    start = setup.free("start")
    setup.assume((inner != 0) & (tokens != 0))
    counts.drive(setup.m, start, inner, tokens)
    started = Signal()
    setup.m.d.sync += started.eq(started | start)
    columns, slices, rows = counts.divisors
    for number, (what, found, dividend, divisor) in enumerate(
        (
            ("fillings along K", counts.inner_tiles, inner, columns),
            ("lines of a channel", counts.line_groups, counts.inner_tiles, slices),
            ("token tiles", counts.token_tiles, tokens, rows),
        )
    ):
        known = Value.cast(counts.known(number + 1)) & started
        setup.check(implies(known, found * divisor >= dividend), f"{what}: enough")
        setup.check(implies(known, found * divisor < dividend + divisor), f"{what}: not one too many")


PROOFS = tuple(
    Proof(
        f"control/descriptor_unit/quotients-{name}",
        f"The unit divides right: columns, line slices and rows of {text}, all sizes, begun anew at any time",
        lambda setup, config=config: _quotients(setup, config),  # type: ignore[misc]
        Engine("bounded", 54),
    )
    for name, text, config in (
        ("tiny", "2 x 3 x 3", TINY),
        ("5x7", "the 5x7 accelerator", ACCELERATORS["accelerator_5x7"]),
    )
)
