"""`fineq quantize`: a model directory into a quantized one."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fineq.commands.notes import note_slow_path, warn
from fineq.common.errors import FineqError
from fineq.common.progress import progress_display
from fineq.quantizer.defaults import DEFAULT_RECIPE

if TYPE_CHECKING:
    from fineq.checkpoint.calibration import CalibratedTensors
    from fineq.checkpoint.card import Sizes
    from fineq.checkpoint.loss_check import LossCheck
    from fineq.checkpoint.pack import LayerResult
    from fineq.checkpoint.planning import CheckpointPlan
    from fineq.checkpoint.source import Source
    from fineq.evaluation.perplexity import Text


def quantize(
    model: Annotated[str, typer.Argument(help="Model directory in Hugging Face layout, or a hub id (owner/name).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory to make.")],
    recipe: Annotated[
        str,
        typer.Option(
            help="How to quantize. From the weights alone: {recipes}; `paper` is the paper's, `mse` has less error. "
            "With --calibration: {calibrated}."
        ),
    ] = DEFAULT_RECIPE,
    include: Annotated[
        list[str] | None, typer.Option(help="Quantize only tensors that match, such as '*.mlp.*'. Repeatable.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Keep tensors that match. Repeatable.")] = None,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Quantize the input embedding too.")] = False,
    lm_head: Annotated[bool, typer.Option("--lm-head", help="Quantize the output head too.")] = False,
    calibration: Annotated[
        Path | None, typer.Option(help="Text file for recipes that fit the weights to real inputs.")
    ] = None,
    windows: Annotated[
        int | None, typer.Option(min=1, help="Windows of the calibration text to look at. Without: up to 128.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check", help="Measure the loss of the model before and after on a few hundred tokens of text."
        ),
    ] = True,
    text: Annotated[Path | None, typer.Option(help="Text for the check: .txt, .raw, .jsonl. Without: shipped.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
) -> None:
    """Quantize the linear layers of a language model.

    Weights are read and written piece by piece, so a model may be far larger than the memory. The output appears
    only when it is complete; an interrupted run goes on with --resume and ends with the same bytes. At the end original
    and result are run on a short text, one after the other, if they fit into the memory; a model that the recipe
    has destroyed is told.
    """
    from fineq.blockwise import journal_directory
    from fineq.checkpoint.calibration import check_options
    from fineq.checkpoint.card import measure_sizes
    from fineq.checkpoint.planning import Options, make_plan
    from fineq.checkpoint.quantize import check_output, quantize_checkpoint
    from fineq.checkpoint.source import open_source
    from fineq.quantizer.recipes import find_recipe, is_recipe

    options = Options(recipe, tuple(include or ()), tuple(exclude or ()), embeddings, lm_head)
    data_free = is_recipe(recipe)
    if data_free and calibration:
        raise FineqError(f"recipe {recipe} needs no calibration text: leave --calibration out")
    if not data_free:
        check_calibrated(recipe, calibration)
        check_options(options)
    elif windows is not None:
        raise FineqError(f"recipe {recipe} needs no calibration text: leave --windows out")
    if text and not check:
        raise FineqError("--text is for the check: leave it or --no-check out")
    checked = text_of_check(text) if check else None
    source = open_source(model)
    plan = make_plan(source, options, find_recipe(recipe).axis if data_free else "row")
    sizes = measure_sizes(source, plan)
    if dry_run:
        print_plan(plan)
        print_sizes(sizes, "would take")
        return
    check_output(output, resume)
    note_slow_path()
    prepared = None
    if not data_free:
        assert calibration is not None  # `check_calibrated` asked for it
        prepared = calibrate(source, plan, recipe, calibration, output, resume, windows)
    found: list[LossCheck] = []

    def run_check(directory: Path) -> LossCheck:
        from fineq.evaluation.loss_check import check_loss

        assert checked is not None
        found.append(check_loss(source, directory, checked))
        return found[-1]

    with progress_display(lambda rate: f"{rate / 1e6:.2f} Mweights/s") as progress:
        try:
            results = quantize_checkpoint(
                source, output, options, resume, progress, prepared, run_check if check else None, plan
            )
        except KeyboardInterrupt:
            print("stopped: repeat the command with --resume to go on", file=sys.stderr)
            raise
    if not data_free:
        shutil.rmtree(journal_directory(output), ignore_errors=True)
    print_results(results)
    print_kept(plan.with_changed(prepared.changed) if prepared else plan)
    print_sizes(sizes, "take")
    for outcome in found:
        typer.echo(outcome.sentence())
    typer.echo(f"written to {output}")
    if prepared is not None and prepared.unseen:
        from fineq.calibrated.unseen import unseen_sentence

        warn(unseen_sentence(prepared.unseen))
    for outcome in found:
        warning = outcome.warning(recipe, data_free)
        if warning:
            warn(warning)


# -- recipes that need calibration -----------------------------------------------------------------------------


def check_calibrated(recipe: str, calibration: Path | None) -> None:
    """Raise unless `recipe` is a calibrated one and there is a text for it."""
    from fineq.baselines import find_baseline
    from fineq.quantizer.recipes import RECIPES

    try:
        from fineq.calibrated import RECIPES as CALIBRATED
        from fineq.calibrated import find_calibrated_recipe
    except ImportError:
        CALIBRATED = {}
    if recipe.split(",")[0] not in CALIBRATED and find_baseline(recipe):
        raise FineqError(
            f"{recipe} is a baseline to compare with, and no packed form is written for it: `fineq eval --recipe "
            f"{recipe}` measures it (docs/quantizer/baselines.md)"
        )
    if recipe.split(",")[0] not in CALIBRATED:
        raise FineqError(f"unknown recipe {recipe!r}: choose one of {', '.join([*RECIPES, *CALIBRATED])}")
    find_calibrated_recipe(recipe)
    if calibration is None:
        raise FineqError(f"recipe {recipe} needs a text to calibrate with: add --calibration FILE")
    if not calibration.is_file():
        raise FineqError(f"{calibration} does not exist: --calibration needs a text file")


def calibrate(
    source: Source,
    plan: CheckpointPlan,
    recipe: str,
    calibration: Path,
    output: Path,
    resume: bool,
    windows: int | None,
) -> CalibratedTensors:
    """Run a calibrated recipe: block by block, or on the whole model in memory if the recipe trains all of it."""
    from fineq.blockwise import calibrate_blocks, journal_directory, open_calibration
    from fineq.calibrated import find_calibrated_recipe, quantize_model
    from fineq.calibrated.unseen import unseen_layers
    from fineq.checkpoint.calibration import prepare, wanted_layers
    from fineq.huggingface.loading import load_model, load_tokenizer

    text = calibration.read_text(encoding="utf-8", errors="replace")
    token_ids = load_tokenizer(source.directory)(text, add_special_tokens=False, return_tensors="pt").input_ids[0]
    if find_calibrated_recipe(recipe).whole.steps:
        if resume:
            raise FineqError(f"recipe {recipe} trains the whole model at once and cannot resume: leave --resume out")
        model = load_model(source.directory)
        wanted = wanted_layers(model, source, plan)
        with progress_display() as progress, unseen_layers() as unseen:
            made = prepare(source, plan, *quantize_model(model, token_ids, recipe, progress, wanted, windows))
        return replace(made, unseen=tuple(unseen))
    opened = open_calibration(
        source, plan, find_calibrated_recipe(recipe), token_ids, journal_directory(output), resume, windows
    )
    count, length = opened.windows.shape
    typer.echo(f"calibrating with {count} windows of {length} tokens, in about {opened.memory / 1e9:.1f} GB", err=True)
    with progress_display(done=opened.done_layers) as progress, unseen_layers() as unseen:
        try:
            packed, changed = calibrate_blocks(opened, progress)
        except KeyboardInterrupt:
            print("stopped: repeat the command with --resume to go on", file=sys.stderr)
            raise
    return replace(prepare(source, plan, packed, changed), unseen=tuple(unseen))


def text_of_check(path: Path | None) -> Text:
    """The text that the check measures on."""
    from fineq.evaluation.perplexity import read_text, shipped_text_path

    return read_text(path or shipped_text_path())


# -- what the user sees ----------------------------------------------------------------------------------------


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """A table with aligned columns; the first one to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in [header, *rows]:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        typer.echo("  ".join([row[0].ljust(widths[0]), *numbers]))


def print_plan(plan: CheckpointPlan) -> None:
    from fineq.checkpoint.pack import Measures
    from fineq.checkpoint.quantize import layer_result

    results = [layer_result(unit, Measures()) for unit in plan.quantized]
    rows = [[result.name, " x ".join(map(str, result.shape)), f"{result.bits_per_weight:.3f}"] for result in results]
    print_table(["tensor", "shape", "bits"], rows)
    typer.echo(f"{len(rows)} tensors to quantize")
    print_kept(plan)


def print_kept(plan: CheckpointPlan) -> None:
    """What is kept and why, each reason with an example; and what has other values."""
    if plan.changed:
        typer.echo(f"{len(plan.changed)} further tensors changed, such as {plan.changed[0]}")
    typer.echo(f"{len(plan.kept)} tensors kept:")
    for why, names in plan.kept_by_reason().items():
        typer.echo(f"  {len(names):>5}  {why}, such as {names[0]}")


def print_results(results: list[LayerResult]) -> None:
    from fineq.checkpoint.card import mean_error, table_row

    header = ["tensor", "shape", "bits", "error", "3-bit clusters", "disagreeing pairs"]
    print_table(header, [table_row(result) for result in results])
    typer.echo(f"{len(results)} tensors quantized, normalised error {mean_error(results):.4f}")


def print_sizes(sizes: Sizes, verb: str) -> None:
    typer.echo(
        f"quantized layers {verb} {sizes.bits_of_quantized:.3f} bits per weight, the whole model "
        f"{sizes.bits_of_model:.3f}: {sizes.total_bytes:,} bytes instead of {sizes.source_bytes:,}"
    )
