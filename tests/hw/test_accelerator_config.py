"""Accelerators whose weight lines are too long for their gearbox are refused, and no others."""

from __future__ import annotations

import pytest

from fineq_hw.config import (
    BUS_BITS,
    MAC_WEIGHT_BITS,
    TRANSFER_ROW_BITS,
    AcceleratorConfig,
    ArrayConfig,
    MacConfig,
    aligned,
)
from fineq_hw.config.accelerator import MAX_LINE_SELECTION_BITS


def arrays(columns: int) -> list[ArrayConfig | MacConfig]:
    return [
        ArrayConfig(rows=2, columns=columns),
        *(MacConfig(rows=2, columns=columns, weight_bits=bits) for bits in MAC_WEIGHT_BITS),
    ]


def test_explosive_lines_are_refused():
    text = (
        "columns is 130: weight lines of 455 bytes begin at 455 places of a 128-bit word, which takes a selection of "
        "1710800 bits, more than 1048576; use another number of columns, such as a multiple of 48"
    )
    with pytest.raises(ValueError) as error:
        AcceleratorConfig(ArrayConfig(rows=2, columns=130))
    assert str(error.value) == text
    assert AcceleratorConfig(ArrayConfig(rows=2, columns=128)).line_places == (7, 7 * 8 * 112)


@pytest.mark.parametrize("bus_bits", BUS_BITS)
def test_what_the_refusal_recommends_is_taken(bus_bits):
    for columns in range(48, 1025, 48):
        for array in arrays(columns):
            assert AcceleratorConfig(array, bus_bits).line_places[1] <= MAX_LINE_SELECTION_BITS


def test_lines_that_are_taken_fit_a_transfer():
    for columns in range(1, 1025):
        for array in arrays(columns):
            try:
                config = AcceleratorConfig(array, channels_per_tile=4096)
            except ValueError:
                continue
            assert aligned(4096 * config.line_bytes) >> TRANSFER_ROW_BITS == 0
