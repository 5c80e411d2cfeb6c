"""What each part of the calibrated recipes is worth: `fineq ablation MODEL ...`.

A Markdown table: perplexity of the model after each step, and the loss against full precision as a share
of the loss of recipe `paper`. All rows but the first have the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from fineq.calibrated.model import quantize_model
from fineq.calibrated.recipes import RECIPES, CalibratedRecipe
from fineq.common.markdown import heading, line
from fineq.evaluation.methods import find_method
from fineq.evaluation.perplexity import Text, perplexity, tokenize
from fineq.huggingface.loading import load_model, load_tokenizer

CALIBRATED = RECIPES["calibrated"]


def _step(hessian: str = "full", targets: bool = False, **solver: Any) -> CalibratedRecipe:
    return replace(CALIBRATED, solver=replace(CALIBRATED.solver, hessian=hessian, **solver), targets=targets)


STEPS: dict[str, str | CalibratedRecipe] = {
    "full precision": "none",
    "paper": "paper",
    "mse": "mse",
    "mse-clipped, inputs weighted": _step("diagonal", sweeps=0),
    "+ error feedback in pairs": _step(sweeps=0, feedback_scales=(1.0,)),
    "+ scales tried with feedback": _step(sweeps=0),
    "+ sweeps": _step(),
    "+ full-precision targets = calibrated": CALIBRATED,
    "calibrated, four partial solutions a pair": _step(targets=True, breadth=4),
    "calibrated + blocks trained = reconstructed": RECIPES["reconstructed"],
    "reconstructed + whole model trained = distilled": RECIPES["distilled"],
    "calibrated + scales and norms tuned = tuned": RECIPES["tuned"],
    "calibrated + scales, norms and codes tuned = tuned-codes": RECIPES["tuned-codes"],
}
"""Rows of the table: a method of `fineq eval`, or a calibrated recipe."""


@dataclass(frozen=True)
class Row:
    """One measurement."""

    step: str
    bits: float | None
    nll: float
    perplexity: float


def measure(
    model: PreTrainedModel,
    step: str,
    calibration: Tensor,
    measure_perplexity: Callable[[PreTrainedModel], tuple[float, float]],
) -> Row:
    """Quantize `model` in place by one of `STEPS` and measure it."""
    how = STEPS[step]
    if isinstance(how, str):
        layers = find_method(how).apply(model)
        sizes = [(layer.bits_per_weight, layer.shape[0] * layer.shape[1]) for layer in layers]
    else:
        packed, _ = quantize_model(model, calibration, how)
        sizes = [(layer.bits_per_weight(), layer.shape[0] * layer.shape[1]) for layer in packed.values()]
    bits = sum(bits * size for bits, size in sizes) / sum(size for _, size in sizes) if sizes else None
    return Row(step, bits, *measure_perplexity(model))


def table_line(row: Row, exact: Row | None, paper: Row | None) -> str:
    """One line of the Markdown table."""
    bits = f"{row.bits:.3f}" if row.bits else "-"
    loss = f"{row.nll - exact.nll:.3f}" if exact else "-"
    share = f"{(row.nll - exact.nll) / (paper.nll - exact.nll):.0%}" if exact and paper else "-"
    return line(row.step, bits, f"{row.perplexity:.4g}", loss, share)


def lines(path: Path, text: Text, calibration: Text, sequence_length: int, only: list[int] | None) -> Iterator[str]:
    """The table, line by line as it is measured.

    Args:
        path: the model.
        text, calibration: to measure on, and to calibrate with.
        sequence_length: tokens of an evaluation window.
        only: rows, counted from 0; None: all.
    """
    tokenizer = load_tokenizer(path)
    calibration_ids, text_ids = (tokenize(tokenizer, each.content) for each in (calibration, text))
    bos = "none" if tokenizer.bos_token_id is None else "window"

    def measure_perplexity(quantized: PreTrainedModel) -> tuple[float, float]:
        result = perplexity(quantized, text_ids, sequence_length, bos=bos, bos_token_id=tokenizer.bos_token_id)
        return result.nll, result.perplexity

    yield f"{path.name}: {len(calibration_ids)} calibration tokens, {len(text_ids)} evaluation tokens\n"
    yield from heading("step", "bits/weight", "perplexity", "loss over full precision, nats", "share of paper's")
    rows: dict[str, Row] = {}
    for number, step in enumerate(STEPS):
        if only and number not in only:
            continue
        rows[step] = measure(load_model(path), step, calibration_ids, measure_perplexity)
        yield table_line(rows[step], rows.get("full precision"), rows.get("paper"))
