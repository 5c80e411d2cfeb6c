"""NaN in tensors that are copied, in every type and wherever it stands."""

import pytest
import torch

from fineq.checkpoint.container import DTYPES, Container, TensorEntry
from fineq.checkpoint.copying import LARGEST_MAGNITUDES, check_numbers
from fineq.common.errors import FineqError


@pytest.mark.parametrize("name", [name for name, dtype in DTYPES.items() if dtype in LARGEST_MAGNITUDES])
def test_only_nan_is_refused(name, tmp_path):
    dtype = DTYPES[name]
    bits = 8 * dtype.itemsize
    patterns = torch.arange(2 ** min(bits, 16), dtype=torch.int64) << max(0, bits - 16)
    integers = {8: torch.uint8, 16: torch.uint16, 32: torch.uint32, 64: torch.int64}[bits]
    values = patterns.to(integers).view(dtype)
    is_nan = values.to(torch.float32).isnan()
    container = Container(tmp_path, {"t": TensorEntry("t", name, tuple(values.shape), 0, values.nbytes)}, {}, 0)

    def piece(tensor):
        return memoryview(bytearray(tensor.contiguous().view(torch.uint8).numpy().tobytes()))

    assert is_nan.any()
    check_numbers(piece(values[~is_nan]), container, "t")
    for value in (values[is_nan][:1], values[is_nan][-1:]):
        whole = torch.cat([torch.zeros(5, dtype=torch.float32).to(dtype).view(torch.uint8), value.view(torch.uint8)])
        with pytest.raises(FineqError, match="t holds NaN"):
            check_numbers(piece(whole), container, "t")


def test_integers_pass(tmp_path):
    container = Container(tmp_path, {"t": TensorEntry("t", "U8", (3,), 0, 3)}, {}, 0)
    check_numbers(memoryview(b"\xff\xff\xff"), container, "t")
