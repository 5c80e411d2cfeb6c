"""Golden vectors as arrays of C and as plain bytes: what a compiler and a program read is what the arrays hold."""

import hashlib
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch

from fineq import FineqError, quantize, quantize_activations
from fineq.quantizer.golden_vectors import ARRAYS, read_vectors, write_vectors
from fineq.quantizer.vector_files import C_HEADER, c_array

PROGRAM = """
#include <stdio.h>
#include "vectors.h"
#define SHOW(name) fwrite(fineq_vectors_##name, 1, sizeof fineq_vectors_##name, stdout)
int main(void)
{
    printf("%u %u %u\\n", FINEQ_VECTORS_ROWS, FINEQ_VECTORS_INNER, FINEQ_VECTORS_TOKENS);
    SHOW(blocks); SHOW(codes); SHOW(scales); SHOW(activations); SHOW(activation_scales); SHOW(expected_sums);
    return 0;
}
"""


def written(directory, **options):
    generator = torch.Generator().manual_seed(0)
    packed = quantize(torch.randn(5, 31, generator=generator), "paper")
    return write_vectors(directory, packed, *quantize_activations(torch.randn(3, 31, generator=generator)), **options)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on the PATH")
def test_a_program_in_c_sees_the_arrays(tmp_path):
    golden = read_vectors(written(tmp_path / "golden", c_arrays=True))
    (tmp_path / "show.c").write_text(PROGRAM)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I", str(tmp_path / "golden")]
    subprocess.run(["gcc", *flags, str(tmp_path / "show.c"), "-o", str(tmp_path / "show")], check=True)
    sizes, content = subprocess.run([tmp_path / "show"], capture_output=True, check=True).stdout.split(b"\n", 1)
    assert sizes == b"5 31 3"
    assert content == b"".join(getattr(golden, name).tobytes() for name in ARRAYS)


def test_plain_bytes_and_checksums(tmp_path):
    golden = read_vectors(written(tmp_path, binary=True, c_arrays=True))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    for name, (dtype, _) in ARRAYS.items():
        content = (tmp_path / f"{name}.bin").read_bytes()
        assert content == getattr(golden, name).astype(np.dtype(dtype).newbyteorder("<")).tobytes()
        assert manifest["arrays"][name]["files"]["bin"]["sha256"] == hashlib.sha256(content).hexdigest()
    content = (tmp_path / C_HEADER).read_bytes()
    assert manifest["c_header"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_set_without_them_replaces_one_with_them(tmp_path):
    written(tmp_path / "golden", binary=True, c_arrays=True)
    written(tmp_path / "golden")
    assert {path.suffix for path in (tmp_path / "golden").iterdir()} == {".npy", ".hex", ".json"}
    (tmp_path / "golden" / "other.bin").write_text("")
    with pytest.raises(FineqError, match=r"other\.bin"):
        written(tmp_path / "golden")


def test_the_least_integer_is_a_constant_of_c():
    assert "    (-2147483647 - 1), 7," in list(c_array("x", np.array([-(2**31), 7], dtype=np.int32)))
