"""`fineq ablation`: what each part of the calibrated recipes is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def ablation(
    model: Annotated[Path | None, typer.Argument(help="Model directory. Without: the shipped model.")] = None,
    text: Annotated[Path | None, typer.Option(help="Evaluation text. Without: the shipped one.")] = None,
    calibration: Annotated[Path | None, typer.Option(help="Calibration text. Without: the shipped one.")] = None,
    only: Annotated[list[int] | None, typer.Option(help="Only these rows, counted from 0.")] = None,
    sequence_length: Annotated[int, typer.Option(help="Tokens of an evaluation window.")] = 512,
) -> None:
    """Print what each part of the calibrated recipes is worth on a model."""
    import torch

    from fineq.evaluation.perplexity import read_text, shipped_calibration_path, shipped_text_path
    from fineq.models.locations import shipped_model_path
    from fineq_reports.accuracy.ablation import lines

    torch.set_num_threads(1)  # the same table on every machine
    texts = read_text(text or shipped_text_path()), read_text(calibration or shipped_calibration_path())
    for line in lines(model or shipped_model_path(), *texts, sequence_length, only):
        typer.echo(line)
