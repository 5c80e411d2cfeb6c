"""Parameters of the MAC arrays, the baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fineq.format import MAX_MAGNITUDE
from fineq_hw.config.checks import check_array, check_choice

MAC_WEIGHT_BITS: tuple[int, ...] = (3, 4, 8)

MAC_WEIGHT_PATHS: tuple[str, ...] = ("systolic", "broadcast")
"""How a weight reaches the rows of the MAC array. `systolic`: registered in every processing element and
passed down. `broadcast`: one wire per column to all rows, as in the temporal array; fewer registers.
"""

MULTIPLIERS: tuple[str, ...] = ("generic", "digits")
"""How the elements multiply. `generic`: `*` and `+`, whose circuit synthesis chooses. `digits`: weights become signed
digits once above the array, elements select multiples of the activation, and full adders are written out, as in the
temporal array.
"""


@dataclass(frozen=True)
class MacConfig:
    """Parameters of a MAC array: the same array with multipliers (paper Table III, first row).

    Attributes:
        rows, columns, activation_bits, accumulator_bits: as in `ArrayConfig`.
        weight_bits: 8 or 4 (signed two's complement) or 3 (the format's sign-magnitude weight).
        weight_path: one of `MAC_WEIGHT_PATHS`.
        activation_storage: one of `ACTIVATION_STORAGE`.
        multiplier: one of `MULTIPLIERS`.
        register_columns: columns that a partial sum passes between two registers; more than 1 with `digits` alone.
    """

    rows: int = 64
    columns: int = 64
    activation_bits: int = 8
    accumulator_bits: int = 32
    weight_bits: int = 8
    weight_path: str = "systolic"
    activation_storage: str = "gated-flop"
    multiplier: str = "generic"
    register_columns: int = 1
    line_slices: ClassVar[int] = 1
    """Weight vectors in one line."""

    def __post_init__(self) -> None:
        check_array(self)
        check_choice(self, "weight_bits", MAC_WEIGHT_BITS)
        check_choice(self, "weight_path", MAC_WEIGHT_PATHS)
        check_choice(self, "multiplier", MULTIPLIERS)
        if not 1 <= self.register_columns <= self.columns:
            raise ValueError(
                f"register_columns is {self.register_columns}: it must lie between 1 and the {self.columns} columns"
            )
        if self.register_columns > 1 and self.multiplier != "digits":
            raise ValueError(
                f"register_columns is {self.register_columns} with multiplier 'generic': only digits are added up "
                "without a register in every element, choose digits"
            )
        needed = (self.columns * self.max_product_magnitude).bit_length() + 1
        if self.accumulator_bits < needed:
            raise ValueError(
                f"accumulator_bits is {self.accumulator_bits}: a sum over {self.columns} columns can overflow it, "
                f"use at least {needed}"
            )

    @property
    def weight_code(self) -> str:
        """What the weights are in the array, for names."""
        return f"mac{self.weight_bits}"

    @property
    def signed_weights(self) -> bool:
        """A weight in the array is a number in two's complement, else sign-magnitude."""
        return self.weight_bits != 3

    @property
    def weight_limits(self) -> tuple[int, int]:
        """Smallest and largest weight."""
        low = -1 << (self.weight_bits - 1)
        return (low, -low - 1) if self.signed_weights else (-MAX_MAGNITUDE, MAX_MAGNITUDE)

    @property
    def stages(self) -> int:
        """Registers that a partial sum passes on its way through a row."""
        return -(-self.columns // self.register_columns)

    @property
    def line_bytes(self) -> int:
        """Bytes in memory of one weight vector: plain weights, one after the other."""
        return -(-self.columns * self.weight_bits // 8)

    @property
    def max_product_magnitude(self) -> int:
        """Largest magnitude of one product."""
        return -self.weight_limits[0] << (self.activation_bits - 1)

    @property
    def max_inner_dimension(self) -> int:
        """Largest K whose sum of products cannot overflow the accumulator."""
        return ((1 << (self.accumulator_bits - 1)) - 1) // self.max_product_magnitude
