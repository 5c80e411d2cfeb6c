"""Calibration of tiny models: quick recipes, tokens, a text, and calibrations that read a model from its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fineq.blockwise import open_calibration
from fineq.calibrated import RECIPES, CalibratedRecipe, SolverOptions
from fineq.checkpoint.planning import Options, make_plan
from fineq.checkpoint.source import open_source

SOLVER = SolverOptions(feedback_scales=(1.0,), breadth=1, sweeps=1)
"""The least that the solver can do."""

QUICK = replace(RECIPES["calibrated"], solver=SOLVER)

TEXT = " ".join("abcdefghij"[n * n % 7 + n % 3] for n in range(300))
"""Words that the tokenizer of `tiny_models` knows."""


def random_tokens() -> Tensor:
    """260 tokens of `tiny_models`, int64: more than four windows of 64."""
    return torch.randint(3, 61, (260,), generator=torch.Generator().manual_seed(0))


def opened(
    directory: Path,
    tokens: Tensor,
    journal: Path,
    recipe: CalibratedRecipe = QUICK,
    options: Options | None = None,
    **further: Any,
) -> Any:
    """A calibration of the model of a directory; `further` is of `open_calibration`."""
    source = open_source(directory)
    plan = make_plan(source, options or Options("calibrated"), "row")
    return open_calibration(source, plan, recipe, tokens, journal, **further)
