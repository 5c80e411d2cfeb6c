"""The accumulator's adder tree: its operands and how few cells it takes."""

from __future__ import annotations

import gc

import pytest

from fineq_hw.array.accumulator import Accumulator
from fineq_hw.config import ArrayConfig


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize(
    ("encoding", "sign_handling", "full", "half"),
    [
        ("unary", "row", 505, 7),
        ("unary", "column", 512, 0),
        ("bitplane", "column", 524, 10),
        ("2s-unary", "column", 575, 2),
        ("cluster", "column", 582, 2),
        ("parallel", "column", 1023, 2),
    ],
)
def test_row_tree_has_the_cells_that_the_documents_give(encoding, sign_handling, full, half):
    tree = Accumulator(ArrayConfig(encoding=encoding, sign_handling=sign_handling)).adder_tree()
    compression = tree.compression()
    assert (compression.count("full"), compression.count("half")) == (full, half)
    del tree
    gc.collect()


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize("sign_handling", ["row", "column"])
def test_row_tree_has_the_fewest_full_adders(sign_handling):
    config = ArrayConfig(sign_handling=sign_handling)
    tree = Accumulator(config).adder_tree()
    compression = tree.compression()
    # A full adder removes one bit; 64 bytes alone cannot do with fewer than 498, correction and old sum come on top.
    assert compression.count("full") <= sum(tree.operand_bits) - config.accumulator_bits
    assert compression.count("full") + compression.count("half") <= 512
    assert max(len(column) for column in compression.columns) == 2
    # Not deeper than its latest operand plus two full adders: no ripple inside the tree.
    assert compression.arrival <= max(max(tree.arrivals), 25) + 6
    del tree
    gc.collect()
