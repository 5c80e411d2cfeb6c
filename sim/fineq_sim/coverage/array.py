"""What the benches of whole cores must meet."""

from __future__ import annotations

from fineq.format.temporal import ENCODINGS, MAX_CYCLES
from fineq_hw.config import MACS, ArrayConfig, MacConfig
from fineq_sim.coverage.groups import CoverGroup, Impossible

TERMINATION = ("early", "full")

ARRAY_KINDS: tuple[str, ...] = (*ENCODINGS, *sorted({f"mac8x{mac.weight_bits}" for mac in MACS.values()}))
"""Encodings of the temporal-coding array, and the MAC arrays by the width of their weights."""

_STEPS = dict.fromkeys(ARRAY_KINDS, 1) | MAX_CYCLES
"""Most steps of a weight vector."""

_MAC_IS_FULL = Impossible(
    lambda at: at["array"] not in ENCODINGS and at["termination"] == "early",
    "a MAC array has no steps to leave out",
)


def array_kind(config: ArrayConfig | MacConfig) -> str:
    """Which of `ARRAY_KINDS` an array is."""
    return f"mac8x{config.weight_bits}" if isinstance(config, MacConfig) else config.encoding


def termination(early: bool) -> str:
    return "early" if early else "full"


def filled(rows: int, config: ArrayConfig | MacConfig) -> str:
    """How much of the array a tile fills."""
    return "all rows" if rows == config.rows else "one row" if rows == 1 else "some rows"


TILES = CoverGroup(
    "array.tiles",
    "a tile is sent into a core",
    {
        "array": ARRAY_KINDS,
        "rows": ("one row", "some rows", "all rows"),
        "termination": TERMINATION,
        "streams": ("steady", "stalling"),
    },
    [_MAC_IS_FULL],
)

VECTORS = CoverGroup(
    "array.vectors",
    "a weight vector is sent into a core",
    {
        "array": ARRAY_KINDS,
        "steps": tuple(str(steps) for steps in range(1, max(_STEPS.values()) + 1)),
        "termination": TERMINATION,
        "sums": ("from zero", "on partial sums"),
    },
    [
        _MAC_IS_FULL,
        Impossible(lambda at: int(at["steps"]) > _STEPS[at["array"]], "no vector takes more than MAX_CYCLES"),
        Impossible(
            lambda at: at["termination"] == "full" and int(at["steps"]) < _STEPS[at["array"]],
            "without early termination every vector takes MAX_CYCLES",
        ),
    ],
)
