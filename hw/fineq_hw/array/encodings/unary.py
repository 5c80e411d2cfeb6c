"""The paper's code (Section IV-C, Fig. 7): as many pulses as the magnitude says."""

from __future__ import annotations

from fineq_hw.array.encodings.one_digit import OneDigit


class Unary(OneDigit):
    """A step with a pulse adds the activation once. A vector takes as many steps as its largest magnitude says.

    All of it is what `OneDigit` and `Encoding` have: the shift register of `PulseEncoder`, a selector for one operand,
    one adder input a column, and a sum that every step adds to.
    """

    name = "unary"
