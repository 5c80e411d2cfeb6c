"""The product in integers: int8 activations, sums of 32 bits, one multiplication by both scales at the end.

`integer.cpp` is compiled once for each instruction set that is used (`paths`): AVX-512 with VBMI and VNNI, AVX2, NEON
with dot products, or none in particular. All give the same bits, which are those of the integer reference and of the
hardware's sums.
"""

from fineq.kernels.integer.paths import chosen_path, usable_paths
from fineq.kernels.integer.product import linear_integer

__all__ = ["chosen_path", "linear_integer", "usable_paths"]
