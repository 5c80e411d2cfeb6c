"""A quantized matrix in memory: blocks, scales and shape."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fineq import format as block_format
from fineq import kernels
from fineq.common.errors import FineqError
from fineq.quantizer.checks import as_tensor


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """A weight matrix in the FineQ format.

    Attributes:
        blocks: uint8 [channels, 7*ceil(length/24)], see docs/quantizer/format.md.
        scales: float32 [channels].
        shape: (rows, K) of the original matrix.
        axis: what a channel is. `row`: channels = rows, length = K. `column`: channels = K, length = rows;
            blocks then hold the transposed matrix.
        recipe: name of the recipe that made it, for reports.
    """

    blocks: Tensor
    scales: Tensor
    shape: tuple[int, int]
    axis: str = "row"
    recipe: str = "custom"

    def __post_init__(self) -> None:
        if self.axis not in ("row", "column"):
            raise FineqError(f"axis is {self.axis!r}: choose one of row, column")
        channels, length = self._channel_shape
        expected = [channels, block_format.bytes_per_row(length)]
        if self.blocks.dtype != torch.uint8 or list(self.blocks.shape) != expected:
            raise FineqError(
                f"blocks are {_describe(self.blocks)}: a {self.axis}-wise packed matrix of shape {list(self.shape)} "
                f"has uint8 blocks of shape {expected}"
            )
        if self.scales.dtype != torch.float32 or list(self.scales.shape) != [channels]:
            raise FineqError(f"scales are {_describe(self.scales)}: they must be float32 of shape {[channels]}")

    @classmethod
    def from_codes(
        cls,
        codes: Tensor,
        scales: Tensor,
        index: Tensor | None = None,
        axis: str = "row",
        recipe: str = "custom",
    ) -> PackedWeight:
        """Pack codes that were made elsewhere.

        Args:
            codes: integers -3..3, shape [rows, K].
            scales: float32, one per channel.
            index: index codes 0..3, shape [channels, ceil(length/6)]; None: the smallest that fit.
            axis, recipe: as the attributes.

        Raises:
            FineqError: see `fineq.format.pack`.
        """
        by_channel = codes if axis == "row" else codes.T
        blocks = block_format.pack(by_channel.cpu().numpy(), None if index is None else index.cpu().numpy())
        rows, columns = codes.shape
        return cls(torch.from_numpy(blocks), scales.to("cpu", torch.float32), (rows, columns), axis, recipe)

    @property
    def _channel_shape(self) -> tuple[int, int]:
        rows, columns = self.shape
        return (rows, columns) if self.axis == "row" else (columns, rows)

    def codes(self, strict: bool = False) -> Tensor:
        """The integer weights, int8 [rows, K]. strict: see `fineq.format.unpack`."""
        blocks, length = self.blocks.cpu().numpy(), self._channel_shape[1]
        found = kernels.unpack(blocks, length, strict)
        codes = torch.from_numpy(block_format.unpack(blocks, length, strict) if found is None else found)
        return codes if self.axis == "row" else codes.T.contiguous()

    def index(self) -> Tensor:
        """The index codes, uint8 [channels, ceil(length/6)]."""
        return torch.from_numpy(block_format.unpack_index(self.blocks.cpu().numpy(), self._channel_shape[1]))

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The matrix that the codes stand for, [rows, K]: code * scale in float32, then rounded to `dtype`."""
        values = kernels.dequantize(self.blocks, self.scales, self._channel_shape[1], dtype)
        if values is not None:
            return values if self.axis == "row" else values.T.contiguous()
        scales = self.scales.cpu()
        scales = scales[:, None] if self.axis == "row" else scales[None, :]
        return (self.codes().to(torch.float32) * scales).to(dtype)

    def bits_per_weight(self, include_scales: bool = True) -> float:
        """True storage cost, padding included."""
        return block_format.bits_per_weight(self._channel_shape, include_scales)

    @property
    def nbytes(self) -> int:
        """Bytes of blocks and scales."""
        return self.blocks.numel() + 4 * self.scales.numel()


def normalised_error(weight: Tensor, packed: PackedWeight) -> float:
    """Mean squared error of the packed matrix over the mean square of the weights (0 is exact, 1 is all zero)."""
    weight = as_tensor(weight, "weight").to("cpu", torch.float64)
    if tuple(weight.shape) != packed.shape:
        raise FineqError(
            f"weight has shape {list(weight.shape)}, the packed matrix {list(packed.shape)}: they must be equal"
        )
    error = torch.square(weight - packed.dequantize(torch.float64)).sum().item()
    power = torch.square(weight).sum().item()
    return error / power if power else float(error > 0)


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {list(tensor.shape)}"
