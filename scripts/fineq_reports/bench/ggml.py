"""Products by ggml, the library under llama.cpp, through its public interface: what users compare with.

It is built by `scripts/build_ggml.py`. The weights are those of the other cases, quantized by ggml itself; the product
is `ggml_mul_mat` in the plain layout of a file. llama.cpp can lay weights out anew when it loads a model; that is not
measured here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_bool, c_char_p, c_float, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fineq.common.errors import FineqError

LIBRARIES = ("libggml-base.so", "libggml-cpu.so")
TYPES = {"q2_K": 10, "tq2_0": 35}
"""ggml's formats of 2.63 and 2.06 bits per weight, and their numbers, which stand in model files and do not change."""

FLOAT32 = 0
CONTEXT_BYTES = 1 << 31
"""Address space of a context; pages count when they are written. Each run leaves its work buffer there."""


class _InitParameters(ctypes.Structure):
    _fields_ = [("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool)]


class Ggml:
    """The library.

    Args:
        directory: where its shared libraries lie.

    Raises:
        FineqError: they do not lie there, or cannot be loaded.
    """

    def __init__(self, directory: Path):
        for name in LIBRARIES:
            if not (directory / name).is_file():
                raise FineqError(f"{directory} has no {name}: give the folder that scripts/build_ggml.py names")
        try:
            self.base: Any = ctypes.CDLL(str(directory / LIBRARIES[0]), mode=ctypes.RTLD_GLOBAL)
            self.cpu: Any = ctypes.CDLL(str(directory / LIBRARIES[1]))
        except OSError as error:
            raise FineqError(f"ggml in {directory} cannot be loaded: {error}") from error
        declare = {
            (self.base, "ggml_init"): ([_InitParameters], c_void_p),
            (self.base, "ggml_free"): ([c_void_p], None),
            (self.base, "ggml_type_name"): ([c_int], c_char_p),
            (self.base, "ggml_row_size"): ([c_int, c_int64], c_size_t),
            (self.base, "ggml_new_tensor_2d"): ([c_void_p, c_int, c_int64, c_int64], c_void_p),
            (self.base, "ggml_mul_mat"): ([c_void_p, c_void_p, c_void_p], c_void_p),
            (self.base, "ggml_new_graph"): ([c_void_p], c_void_p),
            (self.base, "ggml_build_forward_expand"): ([c_void_p, c_void_p], None),
            (self.base, "ggml_get_data"): ([c_void_p], c_void_p),
            (self.base, "ggml_quantize_chunk"): ([c_int, c_void_p, c_void_p, *[c_int64] * 3, c_void_p], c_size_t),
            (self.cpu, "ggml_graph_compute_with_ctx"): ([c_void_p, c_void_p, c_int], c_int),
            (self.cpu, "ggml_cpu_init"): ([], None),
        }
        for (library, name), (arguments, result) in declare.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, result
        self.cpu.ggml_cpu_init()

    def type_number(self, name: str) -> int:
        """Number of a format."""
        number = TYPES[name]
        if self.base.ggml_type_name(number) != name.encode():
            raise FineqError(f"this ggml has no format {name}: take the version that scripts/build_ggml.py names")
        return number

    def quantize(self, weight: Tensor, type_name: str) -> Tensor:
        """Rows float32 [rows, K], K a multiple of 256, in a format of ggml: uint8 [rows, bytes]."""
        number, (rows, columns) = self.type_number(type_name), weight.shape
        weight = weight.contiguous()
        packed = torch.empty(rows, self.base.ggml_row_size(number, columns), dtype=torch.uint8)
        self.base.ggml_quantize_chunk(number, weight.data_ptr(), packed.data_ptr(), 0, rows, columns, None)
        return packed

    def product(self, packed: Tensor, x: Tensor, type_name: str, threads: int) -> Callable[[], Tensor]:
        """A function that multiplies.

        Args:
            packed: what `quantize` made of [rows, K].
            x: float32 [tokens, K].

        Returns:
            A function that computes [tokens, rows] anew each time.
        """
        number, rows, (tokens, columns) = self.type_number(type_name), len(packed), x.shape
        x = x.contiguous()
        context = self.base.ggml_init(_InitParameters(CONTEXT_BYTES, None, False))
        matrix = self.base.ggml_new_tensor_2d(context, number, columns, rows)
        inputs = self.base.ggml_new_tensor_2d(context, FLOAT32, columns, tokens)
        ctypes.memmove(self.base.ggml_get_data(matrix), packed.data_ptr(), packed.numel())
        ctypes.memmove(self.base.ggml_get_data(inputs), x.data_ptr(), 4 * x.numel())
        result = self.base.ggml_mul_mat(context, matrix, inputs)
        graph = self.base.ggml_new_graph(context)
        self.base.ggml_build_forward_expand(graph, result)
        values = (c_float * (tokens * rows)).from_address(self.base.ggml_get_data(result))
        y = torch.frombuffer(values, dtype=torch.float32).view(tokens, rows)

        def run() -> Tensor:
            if self.cpu.ggml_graph_compute_with_ctx(context, graph, threads):
                raise FineqError("ggml could not compute the product")
            return y

        return run
