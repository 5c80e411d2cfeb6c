"""Integer activations: symmetric 8 bits per token."""

import pytest
import torch

from fineq import FineqError, quantize_activations


def test_values_scales_and_rounding():
    integers, scales = quantize_activations(torch.tensor([[127.0, 0.5, 1.5, -2.5], [-254.0, 2.0, 1.0, 0.0]]))
    assert integers.tolist() == [[127, 0, 2, -2], [-127, 1, 0, 0]]
    assert integers.dtype == torch.int8 and scales.dtype == torch.float32
    assert scales.tolist() == [1.0, 2.0]


def test_zero_token_and_more_dimensions():
    values = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    values[1, 2] = 0
    integers, scales = quantize_activations(values)
    assert integers.shape == (2, 3, 5) and scales.shape == (2, 3)
    assert scales[1, 2] == 1.0 and not integers[1, 2].any()
    assert (integers.abs().amax(-1).flatten()[:-1] == 127).all()
    error = (integers * scales[..., None] - values.float()).abs()
    assert (error <= scales[..., None] * 0.5001).all()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_agrees_with_plain_loops(size):
    values = torch.randn(4, size, generator=torch.Generator().manual_seed(size)) * 10
    integers, scales = quantize_activations(values)
    for token in range(4):
        scale = values[token].abs().max() / 127
        assert scales[token] == scale
        assert integers[token].tolist() == [round((x / scale).item()) for x in values[token]]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (torch.ones(2, 3, dtype=torch.int32), "activations is int32: it must be float32, float16, bfloat16 or float64"),
        (torch.ones(3), "activations has shape [3]: it must be [tokens, K] with at least one token and K >= 1"),
        (torch.ones(0, 3), "activations has shape [0, 3]"),
        (torch.tensor([[0.0, 1.0], [float("nan"), 0.0]]), "activations[1, 0] is NaN"),
        (torch.tensor([[0.0, float("inf")]]), "activations[0, 1] is infinite"),
    ],
)
def test_bad_input(values, text):
    with pytest.raises(FineqError) as caught:
        quantize_activations(values)
    assert text in str(caught.value)
