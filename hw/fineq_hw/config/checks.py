"""What every array has in common: limits of its sizes, and how its activations are kept."""

from __future__ import annotations

ACTIVATION_STORAGE: tuple[str, ...] = ("gated-flop", "latch")
"""What keeps the stationary activations. `gated-flop`: flip-flops with an enable per row, which synthesis puts
behind a clock gate. `latch`: latches, smaller, behind one register for the incoming row; not for FPGAs.
"""


def check_integer(config: object, name: str, low: int, high: int) -> None:
    value = getattr(config, name)
    if not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}: it must be an integer between {low} and {high}")


def check_choice(config: object, name: str, known: tuple) -> None:
    value = getattr(config, name)
    if value not in known:
        raise ValueError(f"{name} is {value!r}: choose one of {', '.join(map(str, known))}")


def check_array(config: object) -> None:
    """Limits that every array shares: those of the generators, far beyond what anybody would lay out."""
    for name in ("rows", "columns"):
        check_integer(config, name, 1, 1024)
    check_integer(config, "activation_bits", 2, 16)
    check_integer(config, "accumulator_bits", 4, 64)
    check_choice(config, "activation_storage", ACTIVATION_STORAGE)
