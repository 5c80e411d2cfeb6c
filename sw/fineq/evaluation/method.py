"""A method of quantization as the evaluation sees it: a name, and a function that changes a model.

The kinds of methods stand in modules of their own beside this one (`recipe_methods`, `calibrated_methods`,
`baseline_methods`), so that a kept measurement depends on the code of its own kind alone (`Method.module`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor
from transformers import PreTrainedModel

from fineq.common.errors import FineqError
from fineq.common.progress import Progress
from fineq.format import BLOCK_BYTES, BLOCK_WEIGHTS
from fineq.models.language_model import LayerReport, fake_quantize_model
from fineq.models.stored import CalibrationRecord

FORMAT_BITS = BLOCK_BYTES * 8 / BLOCK_WEIGHTS
"""Bits per weight of the codes and their index, scales and padding not counted."""


@dataclass(frozen=True)
class Method:
    """A way to quantize a model, by name."""

    name: str
    title: str
    nominal_bits: float | None
    """Bits of the codes and indices alone, as the paper's 'Avg. Bits'; None: not quantized."""
    quantize: Callable[[Tensor, str], tuple[Tensor, float]] | None = field(default=None, repr=False)
    """Data-free methods: weight, float [out, in], and name -> dequantized weight and true bits per weight."""
    calibrate: Callable[[PreTrainedModel, Tensor, Progress | None, int | None], list[LayerReport]] | None = field(
        default=None, repr=False
    )
    """Calibrated methods: model, token ids int64 [tokens], progress and number of windows -> reports; the model is
    changed in place."""
    stored: tuple[LayerReport, ...] | None = None
    """Of a model that is stored quantized: its layers, which stay as they are."""
    stored_calibration: CalibrationRecord | None = None
    """Of such a model: what it says that its recipe was fitted to."""

    @property
    def module(self) -> str | None:
        """The module that decides what the method does, where its function stands; None: not quantized."""
        function = self.quantize or self.calibrate
        return function.__module__ if function else None

    @property
    def needs_calibration(self) -> bool:
        """Whether `apply` must be given token ids."""
        return self.calibrate is not None

    def apply(
        self,
        model: PreTrainedModel,
        token_ids: Tensor | None = None,
        progress: Progress | None = None,
        windows: int | None = None,
    ) -> list[LayerReport]:
        """Replace the weights of the block linears by what their quantized form stands for, in place.

        Args:
            token_ids: int64 [tokens], calibration text without special tokens; ignored by data-free methods.
            windows: of that text to look at, spread evenly over it; None: as many as the method does, at most 128.

        Raises:
            FineqError: calibration text is needed and absent or too short, or a weight is not finite.
        """
        if self.stored is not None:
            return list(self.stored)
        if self.calibrate:
            if token_ids is None:
                raise FineqError(f"method {self.name} needs a text to calibrate with: give one")
            return self.calibrate(model, token_ids, progress, windows)
        return fake_quantize_model(model, self.quantize) if self.quantize else []
