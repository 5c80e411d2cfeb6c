"""How a layer that is larger than one descriptor allows is cut, and how the results of its parts become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fineq.format import BLOCK_BYTES, BLOCK_WEIGHTS
from fineq_hw.config import MAX_LAYER_SIZE, AcceleratorConfig, MacConfig
from fineq_sim.reference.memory_image import stored_inner


@dataclass(frozen=True)
class Part:
    """A rectangle of a layer's weights: output channels and inputs, each from the first to before the end."""

    channels: slice
    inputs: slice

    @property
    def height(self) -> int:
        """Output channels."""
        return self.channels.stop - self.channels.start

    @property
    def width(self) -> int:
        """Inputs."""
        return self.inputs.stop - self.inputs.start


def _cut(size: int, largest: int) -> list[slice]:
    return [slice(start, min(start + largest, size)) for start in range(0, size, largest)]


def parts_of(channels: int, inner: int, config: AcceleratorConfig) -> list[Part]:
    """Parts of a layer, one of them if it fits; those of the same channels stand together, in the order of inputs.

    Cuts are where a weight line, hence a packed block, and a tile of channels begin.

    Args:
        channels, inner: N and K.
        config: the machine.
    """
    line = config.array.columns * config.line_slices
    widths = [slice(0, inner)]
    if stored_inner(inner, config) > config.max_inner_dimension:
        widths = _cut(inner, config.max_inner_dimension // line * line)
    tile = config.channels_per_tile
    heights = _cut(channels, MAX_LAYER_SIZE // tile * tile) if channels > MAX_LAYER_SIZE else [slice(0, channels)]
    return [Part(height, width) for height in heights for width in widths]


def part_weights(weights: np.ndarray, part: Part, config: AcceleratorConfig) -> np.ndarray:
    """Weights of a part.

    Args:
        weights: of the layer: packed blocks, uint8 [N, bytes of a row], for a temporal-coding array; integers [N, K]
            for a MAC array.
        part: of the layer.
        config: the machine.
    """
    if isinstance(config.array, MacConfig):
        return weights[part.channels, part.inputs]
    first, rest = divmod(part.inputs.start, BLOCK_WEIGHTS)
    assert not rest, "parts begin with a block"
    last = -(-part.inputs.stop // BLOCK_WEIGHTS)
    return weights[part.channels, first * BLOCK_BYTES : last * BLOCK_BYTES]


def joined(parts: Sequence[Part], values: Sequence[np.ndarray]) -> np.ndarray:
    """Result of the layer, [M, N], from those of its parts: parts of the same channels are added.

    Args:
        parts: as `parts_of` gives them.
        values: of each part, [M, its channels].

    Returns:
        Of the type of the values; int32 where something was added, which holds every sum of a layer.
    """
    columns: list[np.ndarray] = []
    previous = None
    for part, value in zip(parts, values, strict=True):
        if part.channels == previous:
            columns[-1] = columns[-1] + value
        else:
            columns.append(value)
        previous = part.channels
    return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
