"""Payloads of the cores' streams as integers, from a configuration (field order: docs/hardware/array.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from fineq.common.errors import FineqError
from fineq_hw.config import ACCELERATORS, ARRAYS, MACS, AcceleratorConfig, ArrayConfig, MacConfig
from fineq_sim.reference.bits import join, pack, unpack
from fineq_sim.reference.weights import to_weight_field

_KINDS: tuple[type[ArrayConfig] | type[MacConfig] | type[AcceleratorConfig], ...] = (
    ArrayConfig,
    MacConfig,
    AcceleratorConfig,
)


def find_config(which: str | Mapping[str, Any]) -> ArrayConfig | MacConfig | AcceleratorConfig:
    """A hardware configuration by its name, or from its parameters.

    Parameters are all those of one kind of configuration, as `dataclasses.asdict` gives them.

    Raises:
        ValueError: there is none of that name or with these parameters, or one of them is impossible.
    """
    if not isinstance(which, str):
        kind = next((kind for kind in _KINDS if {field.name for field in fields(kind)} == set(which)), None)
        if kind is None:
            raise FineqError(f"no configuration has just the parameters {', '.join(which)}")
        inner = {name: find_config(value) for name, value in which.items() if isinstance(value, Mapping)}
        return kind(**{**which, **inner})
    known: dict[str, ArrayConfig | MacConfig | AcceleratorConfig] = {**ARRAYS, **MACS, **ACCELERATORS}
    if which not in known:
        raise FineqError(f"unknown configuration {which!r}: choose one of {', '.join(known)}")
    return known[which]


@dataclass(frozen=True)
class Payloads:
    """Builds what goes into a core and takes apart what comes out."""

    config: ArrayConfig | MacConfig

    @property
    def slice_bits(self) -> int:
        assert isinstance(self.config, ArrayConfig), "a MAC array has no lines"
        return (self.config.line_slices - 1).bit_length()

    def activations(self, row: Sequence[int], last: bool) -> int:
        """One row of the stationary tile; missing columns are zero."""
        bits = self.config.activation_bits
        return join([(pack(row, bits), bits * self.config.columns), (int(last), 1)])

    def weights(self, vector: Sequence[int], accumulate: bool, last: bool) -> int:
        """One weight vector; missing columns are zero."""
        if self.config.signed_weights:
            fields = list(vector)
        else:
            fields = [to_weight_field(weight) for weight in vector]
        bits = self.config.weight_bits
        return join([(pack(fields, bits), bits * self.config.columns), (int(accumulate), 1), (int(last), 1)])

    def line(self, packed: bytes, slice_number: int, accumulate: bool, last: bool) -> int:
        """One weight-buffer line (a short one is padded with zero bytes) and the slice of it to use."""
        assert isinstance(self.config, ArrayConfig), "a MAC array has no lines"
        return join(
            [
                (int.from_bytes(packed, "little"), 8 * self.config.line_bytes),
                (slice_number, self.slice_bits),
                (int(accumulate), 1),
                (int(last), 1),
            ]
        )

    def partials(self, values: Sequence[int]) -> int:
        """One starting value per row; missing rows are zero."""
        return pack(values, self.config.accumulator_bits)

    def results(self, payload: int) -> tuple[list[int], bool]:
        """The sums of all rows, and the `last` flag."""
        bits, rows = self.config.accumulator_bits, self.config.rows
        return unpack(payload, bits, rows, signed=True), bool(payload >> (bits * rows))
