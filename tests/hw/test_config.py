"""Configurations: the texts of their errors, and widths and orders that follow from them."""

from __future__ import annotations

import pytest

from fineq.format import MAX_MAGNITUDE
from fineq.format.temporal import ENCODINGS
from fineq_hw.baseline.mac_row import partial_bits
from fineq_hw.config import ACCELERATORS, ARRAYS, MACS, AcceleratorConfig, ArrayConfig, MacConfig


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ArrayConfig(rows=0), "rows is 0: it must be an integer between 1 and 1024"),
        (lambda: ArrayConfig(columns=2.5), "columns is 2.5: it must be an integer between 1 and 1024"),
        (lambda: ArrayConfig(activation_bits=1), "activation_bits is 1: it must be an integer between 2 and 16"),
        (lambda: ArrayConfig(accumulator_bits=65), "accumulator_bits is 65: it must be an integer between 4 and 64"),
        (
            lambda: ArrayConfig(accumulator_bits=15),
            "accumulator_bits is 15: a sum over 64 columns can overflow it, use at least 16",
        ),
        (lambda: ArrayConfig(encoding="morse"), "encoding is 'morse': choose one of "),
        (lambda: ArrayConfig(sign_handling="both"), "sign_handling is 'both': choose one of row, column"),
        (
            lambda: ArrayConfig(encoding="cluster"),
            "sign_handling is 'row' with encoding 'cluster': only unary and bitplane have one operand a column whose "
            "sign the accumulator can apply, choose column",
        ),
        (lambda: ArrayConfig(adder_tree="big"), "adder_tree is 'big': choose one of structural, behavioural"),
        (
            lambda: ArrayConfig(activation_storage="ram"),
            "activation_storage is 'ram': choose one of gated-flop, latch",
        ),
        (lambda: MacConfig(weight_bits=5), "weight_bits is 5: choose one of 3, 4, 8"),
        (lambda: MacConfig(multiplier="wallace"), "multiplier is 'wallace': choose one of generic, digits"),
        (
            lambda: MacConfig(multiplier="digits", register_columns=65),
            "register_columns is 65: it must lie between 1 and",
        ),
        (lambda: MacConfig(register_columns=2), "register_columns is 2 with multiplier 'generic': only digits"),
        (lambda: MacConfig(weight_path="mesh"), "weight_path is 'mesh': choose one of systolic, broadcast"),
        (
            lambda: MacConfig(accumulator_bits=21),
            "accumulator_bits is 21: a sum over 64 columns can overflow it, use at least 22",
        ),
    ],
)
def test_error_texts(make, text):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value).startswith(text)


def test_line_order_keeps_clusters_together():
    config = ArrayConfig(encoding="cluster", sign_handling="column")
    order = config.line_order
    assert sorted(order) == list(range(192))
    assert order[:64] == (*range(63), 189) and order[64:128] == (*range(63, 126), 190)
    five = ArrayConfig(columns=5, encoding="cluster", sign_handling="column").line_order
    assert sorted(five) == list(range(120)) and five[:5] == (0, 1, 2, 72, 73)
    assert ArrayConfig().line_order == tuple(range(192))


def test_every_array_says_what_its_weights_are():
    arrays = {**ARRAYS, **MACS}
    said = {(c.weight_code, c.weight_bits, c.weight_limits, c.signed_weights) for c in arrays.values()}
    assert said == {(encoding, 3, (-3, 3), False) for encoding in ENCODINGS} | {
        ("mac3", 3, (-3, 3), False),
        ("mac4", 4, (-8, 7), True),
        ("mac8", 8, (-128, 127), True),
    }
    mac = MacConfig(columns=7, weight_bits=3)
    assert (mac.line_bytes, mac.line_slices) == (3, 1)
    assert (AcceleratorConfig(mac).line_bytes, AcceleratorConfig(mac).line_slices) == (3, 1)


def test_minimum_widths_hold_the_extremes():
    config = ArrayConfig(columns=5, accumulator_bits=ArrayConfig().minimum_accumulator_bits(5))
    assert 5 * 128 * MAX_MAGNITUDE < 1 << config.accumulator_bits - 1
    mac = MacConfig(columns=4)
    assert 4 * 128 * 128 < 1 << partial_bits(mac, 4) - 1


def test_no_named_machine_locks_up_behind_a_shared_port():
    """Addresses ahead of their data are for memories with a port for each direction: somebody has to ask for them."""
    assert not any(config.addresses_ahead for config in ACCELERATORS.values())
