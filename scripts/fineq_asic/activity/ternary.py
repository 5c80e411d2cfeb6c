"""Words of three-valued bits, 0, 1 and unknown: for runs that show what does not depend on initial values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(eq=False)
class Ternary:
    """Bit patterns on two rails; a bit that is on neither is unknown.

    An operation's bit is known if its operands' known bits decide it. That is pessimistic where one unknown
    reaches an operation twice, so a bit that comes out known is known in every case.

    Attributes:
        one, zero: uint64 arrays of equal shape: bits that are surely one, surely zero.
    """

    one: Any
    zero: Any

    @classmethod
    def known(cls, words: np.ndarray | np.uint64) -> Ternary:
        """Words without unknown bits."""
        return cls(words, ~words)

    @classmethod
    def unknown(cls, count: int) -> Ternary:
        """`count` words of unknown bits."""
        return cls(np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=np.uint64))

    def __len__(self) -> int:
        return len(self.one)

    def __getitem__(self, index: np.ndarray | slice | int) -> Ternary:
        return Ternary(self.one[index], self.zero[index])

    def __setitem__(self, index: np.ndarray | slice | int, value: Ternary | np.ndarray | np.uint64) -> None:
        if not isinstance(value, Ternary):
            value = Ternary.known(value)
        self.one[index], self.zero[index] = value.one, value.zero

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Ternary) and np.array_equal(self.one, other.one) and np.array_equal(self.zero, other.zero)
        )

    def __and__(self, other: Ternary) -> Ternary:
        return Ternary(self.one & other.one, self.zero | other.zero)

    def __or__(self, other: Ternary) -> Ternary:
        return Ternary(self.one | other.one, self.zero & other.zero)

    def __xor__(self, other: Ternary) -> Ternary:
        one = (self.one & other.zero) | (self.zero & other.one)
        return Ternary(one, (self.one & other.one) | (self.zero & other.zero))

    def __invert__(self) -> Ternary:
        return Ternary(self.zero, self.one)

    @property
    def unknown_bits(self) -> np.ndarray:
        """Bits that are neither one nor zero, uint64."""
        return ~(self.one | self.zero)
