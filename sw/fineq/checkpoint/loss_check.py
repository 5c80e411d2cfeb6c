"""What a short text says about a quantized model beside its original: whether quantizing has destroyed it.

The error of the weights cannot tell: 0.12 leaves one model as it was and makes another talk nonsense
(docs/quantizer/models.md).
The measurement is `fineq.evaluation.loss_check`; this is its record, for the report, the card and the user.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

LARGEST_LOSS = 1.0
"""Nats per token that a useful model may lose: from about here on, words fall apart. docs/quantizer/models.md has the
models and the figures."""

SURPRISE = 0.9
"""Share of the loss of blind guessing from which on the original itself knows nothing about a text."""


@dataclass(frozen=True)
class LossCheck:
    """The outcome of a check.

    Attributes:
        before, after: mean loss of the original and of the quantized model, nats per token; infinite: no number came
            out. None: not measured.
        tokens: scored.
        text: name of the text.
        problem: why nothing was measured, or why the quantized model gave no number.
    """

    before: float | None = None
    after: float | None = None
    tokens: int = 0
    text: str = ""
    problem: str | None = None

    @property
    def lost(self) -> float | None:
        """Nats per token that quantizing costs; None: not measured."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def is_destroyed(self) -> bool:
        """Whether the model is likely of no use any more."""
        return self.lost is not None and not self.lost <= LARGEST_LOSS

    def sentence(self) -> str:
        """What was found, for a line of output."""
        if self.before is None or self.after is None or self.lost is None:
            return f"effect on the model not measured: {self.problem}"
        if math.isinf(self.after):
            return f"the quantized model gives no finite loss ({self.problem})"
        return (
            f"perplexity {_figure(self.before)} before, {_figure(self.after)} after quantizing "
            f"({self.lost:+.2f} nats per token over {self.tokens} tokens of {self.text})"
        )

    def warning(self, recipe: str, is_data_free: bool) -> str | None:
        """What to tell the user about a destroyed model; None: nothing."""
        if not self.is_destroyed:
            return None
        advice = (
            "Quantize it with `--recipe calibrated --calibration FILE`, or keep more layers with --exclude"
            if is_data_free
            else "Calibrate with more text of the kind that the model is for"
        )
        return (
            f"this model is likely destroyed by recipe {recipe}: {self.sentence()}; above {LARGEST_LOSS:g} nats models "
            f"talk nonsense. {advice}"
        )

    def to_json(self) -> dict[str, Any]:
        """For the report; two digits, so that the order of sums on other thread counts does not show."""
        if self.before is None or self.after is None:
            return {"measured": False, "why_not": self.problem}
        figures = {"nll_before": self.before, "nll_after": self.after, "nats_lost": self.after - self.before}
        rounded = {name: round(value, 2) if math.isfinite(value) else None for name, value in figures.items()}
        outcome = {"measured": True, **rounded, "likely_destroyed": self.is_destroyed}
        return outcome | {"tokens": self.tokens, "text": self.text, "problem": self.problem}


def _figure(loss: float) -> str:
    """Perplexity in three digits."""
    value = math.exp(min(loss, 50.0))
    return f"{value:.3g}" if value < 1000 else f"{float(f'{value:.3g}'):,.0f}"
