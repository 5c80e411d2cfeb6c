"""The order in which the accelerator works off a job: what `fineq_hw.control.tile_walk` does, as plain loops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fineq_hw.config import AcceleratorConfig


@dataclass(frozen=True)
class NestTile:
    """Results that are worked out together.

    Attributes:
        first_token, tokens: token tile.
        first_channel, channels: output channels.
        image_first, image_channels: the whole channel tile of the weight image that they are part of.
        last_channels, last_tokens: end of the channels, of the tokens.
    """

    first_token: int
    tokens: int
    first_channel: int
    channels: int
    image_first: int
    image_channels: int
    last_channels: bool
    last_tokens: bool

    @property
    def last_portion(self) -> bool:
        """No more channels of the weight image's tile follow with these tokens."""
        return self.first_channel + self.channels == self.image_first + self.image_channels


def counted_tiles(config: AcceleratorConfig, tokens: int, channels: int) -> Iterator[tuple[NestTile, int]]:
    """Tiles of a job that differ in size or place among the channels, and how often each is worked off.

    All token tiles but the last go alike, so the time that this takes does not grow with the tokens.
    """
    rows = config.array.rows
    whole = -(-tokens // rows) - 1
    for tile in nest_tiles(config, min(tokens, rows + (tokens - 1) % rows + 1), channels):
        yield tile, 1 if tile.last_tokens else whole


def nest_tiles(config: AcceleratorConfig, tokens: int, channels: int) -> Iterator[NestTile]:
    """All tiles of a job of M tokens and N output channels, in order."""
    rows, whole = config.array.rows, config.channels_per_tile
    for first_token in range(0, tokens, rows):
        last_tokens = first_token + rows >= tokens
        for image_first in range(0, channels, whole):
            width = min(whole, channels - image_first)
            portions = [width]
            if last_tokens and image_first + width == channels and width > config.final_channels:
                rest = (width - 1) % config.final_channels + 1
                portions = [width - rest, rest]
            first = image_first
            for portion in portions:
                yield NestTile(
                    first_token,
                    min(rows, tokens - first_token),
                    first,
                    portion,
                    image_first,
                    width,
                    first + portion == channels,
                    last_tokens,
                )
                first += portion
