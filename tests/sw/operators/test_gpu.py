"""The Triton kernel: in Triton's interpreter, and on a device where there is one."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch
from helpers.models.integer_products import problem, reference

from fineq.operators import decode

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")

INTERPRETED = """
import torch
from helpers.models.integer_products import problem, reference
import fineq
from fineq.operators import decode, gpu
for rows, columns, tokens in ((1, 1, 1), (5, 23, 3), (70, 191, 17), (65, 500, 20)):
    x, blocks, scales = problem(rows, columns, tokens)
    integers, token_scales = fineq.quantize_activations(x)
    assert torch.equal(gpu.product(integers, blocks, scales, token_scales), reference(x, blocks, scales))
    assert gpu.product(integers[:0], blocks, scales, token_scales[:0]).shape == (0, rows)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        inputs = (x / 100).to(dtype)
        expected = inputs.double() @ decode(blocks, scales, columns).double().T
        error = (gpu.product(inputs, blocks, scales) - expected).abs().max() / expected.abs().max()
        assert error < 1e-5, (dtype, error)
print("right")
"""


def test_in_the_interpreter():
    """Triton decides when it is imported, so in a process of its own."""
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", INTERPRETED], env=environment, capture_output=True, text=True)
    assert done.stdout == "right\n", done.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_device(monkeypatch):
    monkeypatch.setenv("FINEQ_TRITON", "1")
    x, blocks, scales = problem(300, 1000, 40)
    there = [tensor.cuda() for tensor in (x, blocks, scales)]
    y = torch.ops.fineq.linear_int8(*there, 1000)
    assert torch.equal(y.cpu(), reference(x, blocks, scales))
    expected = x.double() @ decode(blocks, scales, 1000).double().T
    y = torch.ops.fineq.linear(*there, 300, 1000, "row").cpu()
    assert (y - expected).abs().max() <= 1e-5 * expected.abs().max()
