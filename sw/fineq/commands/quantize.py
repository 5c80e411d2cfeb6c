"""`fineq quantize`: a model directory into a quantized one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fineq.commands.notes import note_slow_path, warn
from fineq.common.progress import progress_display
from fineq.quantizer.defaults import AUTO_RECIPE

if TYPE_CHECKING:
    from fineq.checkpoint.card import Sizes
    from fineq.checkpoint.pack import LayerResult
    from fineq.checkpoint.planning import CheckpointPlan


def quantize(
    model: Annotated[str, typer.Argument(help="Model directory in Hugging Face layout, or a hub id (owner/name).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory to make.")],
    recipe: Annotated[
        str,
        typer.Option(
            help="How to quantize. `auto`: with --calibration `calibrated`, else `mse` if the model survives it, which "
            "is measured. From the weights alone: {recipes}; `paper` is the paper's, `mse` has less error. With "
            "--calibration: {calibrated}."
        ),
    ] = AUTO_RECIPE,
    include: Annotated[
        list[str] | None, typer.Option(help="Quantize only tensors that match, such as '*.mlp.*'. Repeatable.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Keep tensors that match. Repeatable.")] = None,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Quantize the input embedding too.")] = False,
    lm_head: Annotated[bool, typer.Option("--lm-head", help="Quantize the output head too.")] = False,
    outside: Annotated[
        str,
        typer.Option(
            help="Form of what --embeddings and --lm-head quantize: fineq, or int8, 8 bits with a scale for each row."
        ),
    ] = "fineq",
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
    part: Annotated[
        str | None,
        typer.Option(
            help="I/N: quantize only the I-th of N parts, into OUT.parts, which other machines share; `fineq merge` "
            "makes OUT of all of them."
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of a Ray cluster, or auto: its machines do the work, with the same bytes. They share the "
            "directories of MODEL and OUT."
        ),
    ] = None,
) -> None:
    """Quantize the linear layers of a language model.

    Weights are read and written piece by piece, so a model may be far larger than the memory. The output appears
    only when it is complete; an interrupted run goes on with --resume and ends with the same bytes. Where neither
    recipe nor calibration text is given, a short text tells first whether the model survives without. At the end
    original and result are run on that text, one after the other, if they fit into the memory; a model that the
    recipe has destroyed is told.
    """
    from fineq.blockwise import journal_directory
    from fineq.checkpoint.planning import Options
    from fineq.checkpoint.quantize import WORK_SUFFIX
    from fineq.common.errors import FineqError
    from fineq.distributed.parts import parse_part, parts_directory
    from fineq.distributed.work import quantize_part
    from fineq.pipeline import open_job, run_job

    if part is not None and ray is not None:
        raise FineqError("--ray makes all parts by itself: leave --part or --ray out")
    own = parse_part(part) if part is not None else None
    options = Options(recipe, tuple(include or ()), tuple(exclude or ()), embeddings, lm_head, outside)
    job = open_job(model, options, calibration, windows, check and own is None, text)
    if dry_run:
        print_plan(job.plan)
        print_sizes(job.sizes, "would take")
        return
    note_slow_path()
    if own is not None:
        with progress_display(lambda rate: f"{rate / 1e6:.2f} Mweights/s") as progress:
            done = quantize_part(job.source, output, options, job.plan, own, resume, progress)
        typer.echo(f"part {own} {'was there already' if done is None else f'done: {len(done)} tensors quantized'}")
        return
    try:
        made = run_job(job, output, resume, progress_display, lambda sentence: typer.echo(sentence, err=True), ray)
    except KeyboardInterrupt:
        left = (journal_directory(output), parts_directory(output), output.with_name(output.name + WORK_SUFFIX))
        if any(place.exists() for place in left):
            print("stopped: repeat the command with --resume to go on", file=sys.stderr)
        raise
    print_results(made.layers)
    print_kept(made.plan)
    print_sizes(job.sizes, "take")
    if made.choice:
        typer.echo(made.choice.sentence())
    if made.check:
        typer.echo(made.check.sentence())
    typer.echo(f"written to {output}")
    for warning in made.warnings():
        warn(warning)


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
