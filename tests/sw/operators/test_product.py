"""The product with packed weights, and the values that blocks decode to."""

import pytest
import torch

import fineq
from fineq.operators import decode, packed_linear


@pytest.mark.parametrize("shape", [(1, 1), (5, 23), (4, 24), (7, 25), (3, 49), (300, 100)])
@pytest.mark.parametrize("axis", ["row", "column"])
@pytest.mark.parametrize("native", ["0", "1"])
def test_packed_linear(shape, axis, native, monkeypatch):
    monkeypatch.setenv("FINEQ_NATIVE", native)
    monkeypatch.setattr("fineq.operators.product.DECODED_WEIGHTS", 1000)
    torch.manual_seed(0)
    packed = fineq.quantize(torch.randn(shape), "mse", axis=axis)
    channels, length = shape if axis == "row" else shape[::-1]
    weights = decode(packed.blocks, packed.scales, length)
    assert torch.equal(weights if axis == "row" else weights.T, packed.dequantize())
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        x = torch.randn(2, 3, shape[1]).to(dtype)
        y = packed_linear(x, packed.blocks, packed.scales, shape, axis)
        expected = torch.nn.functional.linear(x, packed.dequantize(dtype))
        assert y.dtype == dtype and y.shape == (2, 3, shape[0])
        assert torch.allclose(y, expected, atol={torch.float32: 1e-5}.get(dtype, 0.15))


def test_decode_of_every_block_pattern():
    """All index codes with all payload bits, also those that the packer never writes."""
    generator = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, 256, (500, 21), dtype=torch.uint8, generator=generator)
    packed = fineq.PackedWeight(blocks, torch.rand(500, generator=generator), (500, 70))
    assert torch.equal(decode(blocks, packed.scales, 70), packed.dequantize())
