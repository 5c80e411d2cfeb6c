"""Cycles that the quantizer counts on are those of the arrays: same order of the weights, same number."""

import pytest
import torch

import fineq
from fineq.format.temporal import ENCODINGS, array_cycles
from fineq.quantizer.cycle_aware import window_cycles
from fineq_hw.config import ArrayConfig


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("columns", [8, 16, 24, 64])
def test_lines_are_cut_into_vectors_as_the_array_cuts_them(columns, encoding):
    config = ArrayConfig(rows=4, columns=columns, encoding=encoding, sign_handling="column")
    weight = torch.randn(5, 2 * config.line_weights, generator=torch.Generator().manual_seed(0))
    codes = fineq.quantize(weight, "mse").codes().numpy()
    lines = codes.reshape(5, 2, config.line_weights)[..., list(config.line_order)]
    expected = array_cycles(lines.reshape(5, 2 * config.line_slices, columns), encoding)
    assert (window_cycles(codes, columns, encoding) == expected).all()
