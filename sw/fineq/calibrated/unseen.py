"""Layers that no token of the calibration text reached: experts that were never chosen. They are rounded without it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class UnseenLayerWarning(UserWarning):
    """A layer saw no calibration text.

    Args:
        layer: its name, see `fineq.models.language_model.block_linears`.
    """

    def __init__(self, layer: str):
        super().__init__(f"{layer} saw no calibration text and is quantized without: give more text")
        self.layer = layer


@contextmanager
def unseen_layers() -> Iterator[list[str]]:
    """A list that gets the layers that see no text inside; other warnings are issued at the end as usual."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnseenLayerWarning)
        yield found
    for warning in caught:
        if isinstance(warning.message, UnseenLayerWarning):
            found.append(warning.message.layer)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def unseen_sentence(layers: list[str] | tuple[str, ...]) -> str:
    """What to tell about them."""
    return (
        f"{len(layers)} expert matrices saw no calibration text and were rounded without it, such as {layers[0]}: "
        "calibrate with more text"
    )
