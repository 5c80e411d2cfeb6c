"""What quantizing did to rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fineq.kernels import libraries
from fineq.kernels.decoding import is_packed, value_table
from fineq.kernels.libraries import address
from fineq.kernels.quantization import RowOptions, address_of_options, row_source

if TYPE_CHECKING:
    from torch import Tensor


class RowMeasures(NamedTuple):
    """Sums over rows."""

    error: float
    power: float
    outlier_clusters: int
    disagreeing_pairs: int


def measure_rows(channels: Tensor, blocks: Tensor, scales: Tensor, options: RowOptions) -> RowMeasures | None:
    """Squared error, squared weights, clusters with 3-bit weights, and pairs whose clusters would choose differently.

    Args:
        channels: float32, float16 or bfloat16 [rows, K] on the CPU.
        blocks, scales: what they became, uint8 [rows, 7*ceil(K/24)] and float32 [rows].
        options: by which clusters choose their own codes.

    Returns:
        The sums, which do not depend on the number of threads; None if the kernel cannot do it.
    """
    source, library = row_source(channels), libraries.kernel("measure")
    if source is None or library is None or not is_packed(blocks, scales, channels.shape[1]):
        return None
    blocks, scales = blocks.contiguous(), scales.contiguous()
    rows, length = channels.shape
    error, power = np.empty(rows), np.empty(rows)
    outliers, disagreeing = np.empty(rows, np.int64), np.empty(rows, np.int64)
    library.fineq_measure(
        *source,
        address_of_options(options),
        address(blocks),
        address(scales),
        address(value_table()),
        address(error),
        address(power),
        address(outliers),
        address(disagreeing),
        libraries.thread_count(rows * length),
    )
    return RowMeasures(float(error.sum()), float(power.sum()), int(outliers.sum()), int(disagreeing.sum()))
