"""The integer product: every path gives the bits of the integer reference, whatever the shape and the threads."""

import itertools
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.models.integer_products import problem, reference

import fineq
from fineq import FineqError, kernels
from fineq.kernels import build, libraries
from fineq.kernels.decoding import weight_table
from fineq.kernels.integer import chosen_path, linear_integer, paths, usable_paths
from fineq.quantizer.activations import MAX_ACTIVATION
from fineq.quantizer.arithmetic import SMALLEST_SCALE

pytestmark = pytest.mark.skipif(not kernels.available(), reason=f"no native kernels: {kernels.reason()}")

PATHS = usable_paths() if kernels.available() else ()
EACH_PATH = pytest.mark.parametrize("path", PATHS)
SHAPES = [(1, 1), (5, 23), (37, 24), (33, 25), (70, 191), (64, 193), (65, 500), (40, 3100)]
TOKENS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 32, 200)
CROSS_COMPILER = "FINEQ_AARCH64_CXX"
"""Environment variable: the command of a C++ compiler for AArch64. Without: aarch64-linux-gnu-g++ from the PATH."""


def multiply(x, blocks, scales, path=None):
    return linear_integer(x, blocks, scales, x.shape[-1], MAX_ACTIVATION, SMALLEST_SCALE, path)


@EACH_PATH
@pytest.mark.parametrize("rows, columns", SHAPES)
def test_every_path_gives_the_bits_of_the_reference(path, rows, columns):
    x, blocks, scales = problem(rows, columns, max(TOKENS), seed=rows)
    expected = reference(x, blocks, scales)
    for tokens in TOKENS:
        assert torch.equal(multiply(x[:tokens], blocks, scales, path), expected[:tokens]), tokens


@pytest.mark.regress
@EACH_PATH
def test_ten_million_outputs(path):
    compared = 0
    for seed, (rows, tokens) in enumerate(itertools.cycle([(4096, 8), (2048, 512), (3000, 3), (1000, 1000)])):
        x, blocks, scales = problem(rows, 1003, tokens, seed)
        assert torch.equal(multiply(x, blocks, scales, path), reference(x, blocks, scales))
        compared += rows * tokens
        if compared >= 10**7:
            return


@EACH_PATH
def test_extreme_sums(path):
    """The largest sums that a row of 20000 weights can have, of both signs."""
    columns = 20000
    codes = torch.tensor([3, -3, 0], dtype=torch.int8).repeat(columns)[:columns].expand(8, columns).contiguous()
    packed = fineq.PackedWeight.from_codes(codes, torch.ones(8))
    x = torch.stack([codes[0].sign(), -codes[0].sign(), torch.ones(columns), -torch.ones(columns)]).float()
    for tokens in (4, 20):
        many = x.repeat(5, 1)[:tokens]
        assert torch.equal(
            multiply(many, packed.blocks, packed.scales, path), reference(many, packed.blocks, packed.scales)
        )


GUARDED = """
import ctypes, mmap, torch
from helpers.models.integer_products import problem, reference
from fineq.kernels.integer import linear_integer, usable_paths
page = mmap.PAGESIZE
memory = mmap.mmap(-1, 3 * page)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
libc = ctypes.CDLL(None, use_errno=True)
for number in (0, 2):  # whoever reads before or behind the page in the middle dies
    assert libc.mprotect(ctypes.c_void_p(start + number * page), ctypes.c_size_t(page), 0) == 0
for rows, columns in ((1, 1), (3, 24), (2, 200), (5, 777), (33, 50)):
    x, blocks, scales = problem(rows, columns, 20)
    for first in (0, page - blocks.numel()):
        place = torch.frombuffer(memory, dtype=torch.uint8, offset=page + first, count=blocks.numel()).view_as(blocks)
        place.copy_(blocks)
        for path in usable_paths():
            for tokens in (1, 20):
                y = linear_integer(x[:tokens], place, scales, columns, 127, 2.0**-100, path)
                assert torch.equal(y, reference(x[:tokens], blocks, scales))
print("unharmed")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected as on Linux")
def test_nothing_outside_the_blocks_is_read():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", GUARDED], env=environment, capture_output=True, text=True)
    assert done.stdout == "unharmed\n", done.stderr


@EACH_PATH
def test_tokens_of_zeros_of_tiny_numbers_and_without_numbers(path):
    x, blocks, scales = problem(40, 50, 12)
    x[3], x[4], x[5] = 0.0, 1e-44, 2.0**-97
    expected = reference(x, blocks, scales)
    for place, value in ((7, float("nan")), (8, float("inf")), (9, float("-inf"))):
        x[place, 11], expected[place] = value, torch.nan
    assert torch.equal(multiply(x, blocks, scales, path).nan_to_num(77.0), expected.nan_to_num(77.0))


@EACH_PATH
def test_threads_change_nothing(path, monkeypatch):
    x, blocks, scales = problem(300, 700, 40)
    for tokens in (1, 5, 40):
        results = []
        for count in (1, 2, 3, 7):
            monkeypatch.setattr(libraries, "thread_count", lambda work, count=count: count)
            results.append(multiply(x[:tokens], blocks, scales, path))
        assert all(torch.equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_and_shapes(dtype):
    x, blocks, scales = problem(30, 50, 10)
    x = (x / 1000).to(dtype).view(2, 5, 50)
    wide = torch.cat([x, x], dim=-1)[..., :50]  # not adjacent
    expected = reference(x.float().view(10, 50), blocks, scales).to(dtype).view(2, 5, 30)
    assert torch.equal(multiply(x, blocks, scales), expected) and torch.equal(multiply(wide, blocks, scales), expected)
    assert multiply(x[:0], blocks, scales).shape == (0, 5, 30)


def test_it_leaves_what_it_cannot_do():
    x, blocks, scales = problem(6, 30, 2)
    assert linear_integer(x, blocks, scales, 29, 127, SMALLEST_SCALE) is None
    assert multiply(x, blocks[:5], scales) is None and multiply(x, blocks, scales.double()) is None
    assert multiply(x.to("meta"), blocks, scales) is None


# -- which path ------------------------------------------------------------------------------------------------


def test_the_fastest_path_is_taken_and_another_can_be_forced(monkeypatch):
    monkeypatch.delenv(paths.VARIABLE, raising=False)
    assert chosen_path() == PATHS[0] and PATHS[-1] == "portable"
    assert chosen_path("portable") == "portable"
    used = []
    monkeypatch.setattr(paths, "load_kernel", lambda *a: used.append(a[2]) or build.load_kernel(*a))
    for path in PATHS:
        monkeypatch.setenv(paths.VARIABLE, path)
        paths._compiled.cache_clear()
        x, blocks, scales = problem(6, 30, 2)
        assert torch.equal(multiply(x, blocks, scales), reference(x, blocks, scales))
    assert used == [paths.path_target(path) for path in PATHS]
    paths._compiled.cache_clear()


def test_a_path_that_is_not_there(monkeypatch):
    x, blocks, scales = problem(6, 30, 2)
    absent = next(path for path in paths.TARGETS if path not in PATHS)
    usable = ", ".join(PATHS)
    for name, why in ((absent, "cannot run on this processor"), ("sse9", "does not exist")):
        with pytest.raises(FineqError) as error:
            multiply(x, blocks, scales, name)
        assert str(error.value) == f"the int8 path {name!r} {why}: choose one of {usable}"


def test_a_compiler_that_does_not_know_the_fastest_path(monkeypatch):
    def refuse(name, contraction, target=()):
        if target == paths.path_target(PATHS[0]):
            raise build.KernelError("the C++ compiler c++ fails: what is that?")
        return build.load_kernel(name, contraction, target)

    monkeypatch.setattr(paths, "load_kernel", refuse)
    monkeypatch.delenv(paths.VARIABLE, raising=False)
    paths._compiled.cache_clear()
    x, blocks, scales = problem(6, 30, 2)
    try:
        if len(PATHS) > 1:
            assert torch.equal(multiply(x, blocks, scales), reference(x, blocks, scales))
        with pytest.raises(build.KernelError, match="what is that"), pytest.warns(RuntimeWarning, match="many times"):
            multiply(x, blocks, scales, PATHS[0])
    finally:
        paths._compiled.cache_clear()


# -- another processor -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def emulated(tmp_path_factory):
    """Runs the NEON path under qemu, compiled by a cross compiler."""
    compiler = shlex.split(os.environ.get(CROSS_COMPILER, "aarch64-linux-gnu-g++"))
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if not shutil.which(compiler[0]):
        pytest.skip(f"no C++ compiler for AArch64: {compiler[0]} is not installed (or name one in {CROSS_COMPILER})")
    if not emulator:
        pytest.skip("no qemu-aarch64 to run AArch64 programs with")
    folder = tmp_path_factory.mktemp("aarch64")
    source, headers = Path(__file__).with_name("integer_program.cpp"), build.SOURCES / "integer"
    # not -O3: an emulated program is short, and compiling takes longer than running it
    flags = [flag for flag in build.FLAGS if flag not in ("-shared", "-fPIC", "-O3")]
    flags += ["-O1", "-static", "-ffp-contract=off", f"-I{headers}", *build.format_macros(), *paths.path_target("neon")]
    subprocess.run([*compiler, *flags, "-o", str(folder / "program"), str(source)], check=True)

    def run(x, blocks, scales, threads=1):
        with open(folder / "problem", "wb") as file:
            np.array([len(x), len(blocks), x.shape[1], threads], np.int64).tofile(file)
            np.array([MAX_ACTIVATION, SMALLEST_SCALE], np.float32).tofile(file)
            for array in (weight_table(), x.numpy(), blocks.numpy(), scales.numpy()):
                array.tofile(file)
        command = [emulator, "-cpu", "max", str(folder / "program"), str(folder / "problem"), str(folder / "result")]
        subprocess.run(command, check=True)
        return torch.from_numpy(np.fromfile(folder / "result", np.float32).reshape(len(x), len(blocks)))

    return run


@pytest.mark.parametrize("rows, columns", SHAPES)
def test_neon(emulated, rows, columns):
    x, blocks, scales = problem(rows, columns, max(TOKENS), seed=rows)
    expected = reference(x, blocks, scales)
    for tokens in (1, 8, 13, 200):
        assert torch.equal(emulated(x[:tokens], blocks, scales, threads=2), expected[:tokens]), tokens


@pytest.mark.regress
def test_ten_million_outputs_of_neon(emulated):
    for seed, tokens in enumerate((8, 700, 700, 700, 700)):
        x, blocks, scales = problem(4096, 203, tokens, seed)
        assert torch.equal(emulated(x, blocks, scales), reference(x, blocks, scales))
