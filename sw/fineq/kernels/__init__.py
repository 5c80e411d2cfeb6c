"""Native CPU kernels for what takes time: quantize and pack, fit codes to a layer's inputs, unpack, multiply by packed
weights.

The product has two forms: `linear` with float activations, `linear_integer` with int8 ones (`integer`).

They are C++ sources, compiled on first use (`fineq.kernels.build`). Everything they do, the rest of the package
does without them, only slower: quantize and unpack give the same bytes, the product the same up to rounding. So
each function here returns None when the kernels cannot do the job, and its caller goes the other way.

Set FINEQ_NATIVE=0 to do without. This package needs numpy only; torch tensors come as they are. It knows the block
format, and takes everything else as numbers from its callers.
"""

from fineq.kernels.build import KernelError
from fineq.kernels.decoding import dequantize, unpack
from fineq.kernels.integer import linear_integer
from fineq.kernels.libraries import available, empty, reason
from fineq.kernels.measurement import measure_rows
from fineq.kernels.product import linear
from fineq.kernels.quantization import RowFigures, RowOptions, WindowOptions, quantize_rows
from fineq.kernels.solving import PairMetric, SolverNumbers, solve_rows

__all__ = [
    "KernelError",
    "PairMetric",
    "RowFigures",
    "RowOptions",
    "SolverNumbers",
    "WindowOptions",
    "available",
    "dequantize",
    "empty",
    "linear",
    "linear_integer",
    "measure_rows",
    "quantize_rows",
    "reason",
    "solve_rows",
    "unpack",
]
