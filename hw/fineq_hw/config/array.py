"""Parameters of the temporal-coding array."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import ClassVar

from fineq.format import BLOCK_BYTES, BLOCK_WEIGHTS, MAX_MAGNITUDE, OUTLIER_BITS
from fineq.format.temporal import ENCODINGS, STEP_BITS, line_order
from fineq_hw.config.checks import check_array, check_choice

SIGN_HANDLING: tuple[str, ...] = ("row", "column")
"""Where the sign of a weight is applied.

`row`: in every row's accumulator, as the paper describes it (an XOR per processing element).
`column`: once per column in the encoder, which sends a positive and a negative pulse line; each processing
element then selects the activation, its complement or zero.
"""

ROW_SIGN_ENCODINGS: tuple[str, ...] = tuple(encoding for encoding in ENCODINGS if STEP_BITS[encoding] == 1)
"""Encodings that know sign handling `row`; the others apply the sign before they multiply by two."""


def name_part(text: str) -> str:
    """A text, such as the name of an encoding, in the names of configurations and modules: without hyphens."""
    return text.replace("-", "_")


ADDER_TREES: tuple[str, ...] = ("structural", "behavioural")
"""`structural`: explicit full and half adders, for synthesis. `behavioural`: `+`, for fast simulation."""


@dataclass(frozen=True)
class ArrayConfig:
    """Parameters of the temporal-coding array (paper Section IV-C; Table III: 64 x 64).

    Attributes:
        rows: activation vectors held at once (tokens).
        columns: activations of one vector held at once; lanes of a weight vector.
        activation_bits: width of a signed activation.
        accumulator_bits: width of a signed partial sum.
        encoding: temporal code, one of `fineq.format.temporal.ENCODINGS`.
        sign_handling: one of `SIGN_HANDLING`.
        adder_tree: one of `ADDER_TREES`.
        activation_storage: one of `ACTIVATION_STORAGE`.

    Raises:
        ValueError: a parameter is impossible; the text says which and what is allowed.
    """

    rows: int = 64
    columns: int = 64
    activation_bits: int = 8
    accumulator_bits: int = 24
    encoding: str = "unary"
    sign_handling: str = "row"
    adder_tree: str = "structural"
    activation_storage: str = "gated-flop"
    weight_bits: ClassVar[int] = OUTLIER_BITS
    signed_weights: ClassVar[bool] = False
    """A weight in the array is a number in two's complement, else sign-magnitude."""
    weight_limits: ClassVar[tuple[int, int]] = (-MAX_MAGNITUDE, MAX_MAGNITUDE)
    """Smallest and largest weight."""

    def __post_init__(self) -> None:
        check_array(self)
        check_choice(self, "encoding", ENCODINGS)
        check_choice(self, "sign_handling", SIGN_HANDLING)
        check_choice(self, "adder_tree", ADDER_TREES)
        if self.sign_handling == "row" and self.encoding not in ROW_SIGN_ENCODINGS:
            raise ValueError(
                f"sign_handling is 'row' with encoding {self.encoding!r}: only {' and '.join(ROW_SIGN_ENCODINGS)} have "
                "one operand a column whose sign the accumulator can apply, choose column"
            )
        if self.max_inner_dimension < self.columns:
            raise ValueError(
                f"accumulator_bits is {self.accumulator_bits}: a sum over {self.columns} columns can overflow it, "
                f"use at least {self.minimum_accumulator_bits(self.columns)}"
            )

    @property
    def weight_code(self) -> str:
        """What the weights are in the array, for names."""
        return self.encoding

    @property
    def max_activation_magnitude(self) -> int:
        """Largest magnitude of a signed activation (the most negative one)."""
        return 1 << (self.activation_bits - 1)

    @property
    def max_inner_dimension(self) -> int:
        """Largest K whose sum of products cannot overflow the accumulator."""
        return ((1 << (self.accumulator_bits - 1)) - 1) // (self.max_activation_magnitude * MAX_MAGNITUDE)

    def minimum_accumulator_bits(self, inner_dimension: int) -> int:
        """Accumulator width that holds any sum of `inner_dimension` products."""
        return (inner_dimension * self.max_activation_magnitude * MAX_MAGNITUDE).bit_length() + 1

    @property
    def line_weights(self) -> int:
        """Weights in one weight-buffer line: the least whole number of blocks and of weight vectors.

        64 columns: 192 weights, 8 blocks, 56 bytes, 64 decoders, 3 slices of 64.
        """
        return lcm(self.columns, BLOCK_WEIGHTS)

    @property
    def line_blocks(self) -> int:
        return self.line_weights // BLOCK_WEIGHTS

    @property
    def line_bytes(self) -> int:
        return self.line_blocks * BLOCK_BYTES

    @property
    def line_slices(self) -> int:
        """Weight vectors in one line."""
        return self.line_weights // self.columns

    @property
    def line_order(self) -> tuple[int, ...]:
        """Which weight of a line stands in each column of slice 0, then of slice 1 and so on: `fineq.format.temporal`.

        Whoever tiles a layer orders the inner dimension of the activations accordingly:
        `fineq.format.temporal.input_order`.
        """
        return line_order(self.columns, self.encoding)
