"""`fineq table`, `figure`, `decisions`, `encodings`, `ablation`: the accuracy section of the paper for any models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fineq.common.errors import FineqError
from fineq.common.places import check_directory
from fineq.common.progress import progress_display

if TYPE_CHECKING:
    from fineq_reports.accuracy.cells import Plan
    from fineq_reports.accuracy.tables import Report

Models = Annotated[list[Path] | None, typer.Argument(help="Model directories. Without: the shipped model.")]
Texts = Annotated[list[Path] | None, typer.Option("--text", help=".txt, .raw or .jsonl; repeatable. Without: shipped.")]
Methods = Annotated[
    list[str] | None,
    typer.Option("--recipe", help="Instead of the usual ones: {recipes}, {calibrated}, {baselines}. Repeatable."),
]
Calibration = Annotated[
    Path | None, typer.Option(help="Text for methods that fit the weights to real inputs. Without: shipped.")
]
Windows = Annotated[
    list[int] | None,
    typer.Option(min=1, help="Measure only the first windows of each text; or repeat it, once for each."),
]
CalibrationWindows = Annotated[
    int | None, typer.Option(min=1, help="Windows of the calibration text to look at. Without: up to 128.")
]
Name = Annotated[str | None, typer.Option(help="Stem of the files. Without: that of the table.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Directory for .md, .csv and .png files.")]
Cache = Annotated[Path | None, typer.Option(help="Directory of finished cells. Without: the user's cache directory.")]


def table(
    which: Annotated[str, typer.Argument(metavar="1|2", help="Number of the paper's table.")],
    models: Models = None,
    text: Texts = None,
    recipe: Methods = None,
    calibration: Calibration = None,
    calibration_windows: CalibrationWindows = None,
    sequence_length: Annotated[
        list[int] | None,
        typer.Option(
            min=2, help="Tokens in a window. Without: up to 2048 that the model allows; table 2: 32, 256, 1024."
        ),
    ] = None,
    windows: Windows = None,
    stored: Annotated[
        list[Path] | None,
        typer.Option(help="The model, quantized before: a row of its own, measured as it is. Repeatable."),
    ] = None,
    output: Output = None,
    name: Name = None,
    cache: Cache = None,
) -> None:
    """Perplexity by method (1) or by window length (2), beside the paper's.

    Finished measurements are kept: an interrupted run goes on, a repeated one is quick.
    """
    from fineq_reports.accuracy import perplexities

    makers = {"1": perplexities.table_1, "2": perplexities.table_2}
    _check(which, makers, "table")
    usual: tuple[int | None, ...] = perplexities.TABLE_2_LENGTHS if which == "2" else (None,)
    lengths = tuple(sequence_length or ()) or usual
    if which == "1" and len(lengths) > 1:
        raise FineqError("table 1 is of one length of windows: give --sequence-length once")
    methods = _methods(recipe, perplexities.TABLE_METHODS)
    plan = make_plan(models, text, methods, calibration, windows, cache, lengths, calibration_windows, stored)
    run(lambda progress: makers[which](plan, progress), output, name)


def figure(
    which: Annotated[str, typer.Argument(metavar="1|3b", help="Number of the paper's figure.")],
    models: Models = None,
    text: Texts = None,
    recipe: Methods = None,
    calibration: Calibration = None,
    layer: Annotated[str | None, typer.Option(help="Layer of figure 3b. Without: last linear, middle block.")] = None,
    windows: Windows = None,
    output: Output = None,
    cache: Cache = None,
) -> None:
    """Perplexity by bits (1), or weights, outliers and uniform widths (3b)."""
    from fineq_reports.accuracy import perplexities, weights

    makers: dict[str, Callable] = {
        "1": perplexities.figure_1,
        "3b": lambda plan, progress: weights.figure_3b(plan, layer, progress),
    }
    _check(which, makers, "figure")
    usual = perplexities.figure_1_methods() if which == "1" else weights.UNIFORM_METHODS
    plan = make_plan(models, text, _methods(recipe, usual), calibration, windows, cache)
    run(lambda progress: makers[which](plan, progress), output)


def decisions(
    models: Models = None, text: Texts = None, windows: Windows = None, output: Output = None, cache: Cache = None
) -> None:
    """Every reading of the paper that a recipe can follow, and cluster sizes 2 to 6, measured."""
    from fineq_reports.accuracy.decisions import decisions as make

    plan = make_plan(models, text, [], None, windows, cache)
    run(lambda progress: make(plan, progress), output)


def encodings(
    models: Models = None,
    text: Annotated[Path | None, typer.Option(help=".txt, .raw or .jsonl. Without: shipped.")] = None,
    calibration: Calibration = None,
    columns: Annotated[int, typer.Option(min=6, help="Columns of the array.")] = 64,
    windows: Annotated[int | None, typer.Option(min=1, help="Measure only the first windows of the text.")] = None,
    synthesis: Annotated[Path | None, typer.Option(help="Report of `make synth` (.json) that tells areas.")] = None,
    output: Output = None,
) -> None:
    """Error, perplexity and cycles of every encoding of the array under every recipe, cycle-aware ones included."""
    from fineq.evaluation.perplexity import read_text, shipped_calibration_path, shipped_text_path
    from fineq.models.locations import shipped_model_path
    from fineq_reports.accuracy.encodings import encodings as make

    texts = read_text(text or shipped_text_path()), read_text(calibration or shipped_calibration_path())
    run(
        lambda progress: make(models or [shipped_model_path()], *texts, columns, windows, synthesis, progress),
        output,
    )


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


# -- what they share -------------------------------------------------------------------------------------------


def _check(which: str, known: dict[str, Any], what: str) -> None:
    if which not in known:
        raise FineqError(f"there is no {what} {which!r}: choose one of {', '.join(known)}")


def _methods(wanted: list[str] | None, usual: tuple[str, ...] | list[str]) -> list[str]:
    """Names without repeats; 'none' first, because ratios need it."""
    return list(dict.fromkeys(["none", *(wanted or usual)]))


def make_plan(
    models: list[Path] | None,
    texts: list[Path] | None,
    methods: list[str],
    calibration: Path | None,
    windows: list[int] | None,
    cache: Path | None,
    lengths: tuple[int | None, ...] = (None,),
    calibration_windows: int | None = None,
    stored: list[Path] | None = None,
) -> Plan:
    """A plan from options, with what is shipped in place of what is absent."""
    from fineq.evaluation.perplexity import read_text, shipped_calibration_path, shipped_text_path
    from fineq.models.locations import shipped_model_path
    from fineq_reports.accuracy.cells import Plan

    return Plan(
        models=models or [shipped_model_path()],
        methods=list(methods),
        texts=[read_text(path) for path in texts or [shipped_text_path()]],
        calibration=read_text(calibration or shipped_calibration_path()),
        sequence_lengths=lengths,
        max_windows=tuple(windows) if windows and len(windows) > 1 else windows[0] if windows else None,
        calibration_windows=calibration_windows,
        stored=tuple(stored or ()),
        cache=cache,
    )


def run(
    make: Callable[[Callable[[str, int, int], None]], Report], output: Path | None, name: str | None = None
) -> None:
    """Make a report while showing the progress, print it and write it, under a name of the user's if there is one.

    Raises:
        FineqError: the output cannot be written to; told before anything is measured.
    """
    if output is not None:
        check_directory(output)
    from fineq_reports.accuracy.tables import show_report, write_report

    with progress_display(seconds=0) as progress:
        report = make(progress)
    report = report if name is None else replace(report, name=name)
    show_report(report)
    for path in write_report(report, output) if output else []:
        typer.echo(f"written {path}")
