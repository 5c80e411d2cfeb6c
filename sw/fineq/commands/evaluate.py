"""`fineq eval`: perplexity of a model, quantized or not."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fineq.commands.notes import note_slow_path
from fineq.common.progress import progress_display


def evaluate(
    model: Annotated[
        str | None, typer.Argument(help="Model directory, or a hub id (owner/name). Without: the shipped model.")
    ] = None,
    text: Annotated[Path | None, typer.Option(help=".txt, .raw (WikiText) or .jsonl (C4). Without: shipped.")] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            help="none, or a recipe of FineQ ({recipes}; with calibration text {calibrated}), or a baseline "
            "({baselines}, and other widths of these). Repeatable."
        ),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Text for methods that fit the weights to real inputs. Without: shipped.")
    ] = None,
    calibration_windows: Annotated[
        int | None, typer.Option(min=1, help="Windows of the calibration text to look at. Without: up to 128.")
    ] = None,
    sequence_length: Annotated[
        int | None, typer.Option(help="Tokens in a window. Without: 2048 or the model's longest context.")
    ] = None,
    bos: Annotated[
        str | None, typer.Option(help="Beginning-of-sequence token in every window, at the start of the text, or none.")
    ] = None,
    stride: Annotated[int | None, typer.Option(help="Tokens between window starts. Without: no overlap.")] = None,
    windows: Annotated[int | None, typer.Option(min=1, help="Measure only the first windows.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, or one of several: cuda:1.")] = "cpu",
    activation: Annotated[
        str, typer.Option(help="What packed layers do with their inputs: float, or int8 as the hardware does.")
    ] = "float",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="JSON file for the results.")] = None,
) -> None:
    """Measure perplexity with the standard protocol and print a table; docs/quantizer/evaluation.md describes both."""
    from fineq.checkpoint.source import find_directory
    from fineq.evaluation.evaluate import check_result_place, evaluate, find_device, write_evaluations
    from fineq.evaluation.methods import find_method
    from fineq.evaluation.perplexity import read_text, shipped_calibration_path, shipped_text_path
    from fineq.evaluation.stored_methods import method_for
    from fineq.models.locations import shipped_model_path
    from fineq.operators.library import check_activation

    if output is not None:
        check_result_place(output)
    find_device(device)
    check_activation(activation)
    path = shipped_model_path() if model is None else find_directory(model)
    note_slow_path()
    content = read_text(text or shipped_text_path())
    methods = [method_for(path, find_method(name)) for name in recipe or ["none"]]
    fitting = None
    if any(method.needs_calibration for method in methods):
        fitting = read_text(calibration or shipped_calibration_path())
    results = []
    with progress_display() as progress:
        for method in methods:
            results.append(
                evaluate(
                    path,
                    content,
                    method,
                    sequence_length=sequence_length,
                    bos=bos,
                    stride=stride,
                    max_windows=windows,
                    dtype=dtype,
                    progress=partial(progress, method.title),
                    calibration=fitting,
                    device=device,
                    calibration_windows=calibration_windows,
                    activation=activation,
                )
            )
    if output is not None:
        write_evaluations(results, output)

    first = results[0]
    protocol = first.result
    inputs = f", {first.activation} activations" if first.activation != "float" else ""
    fingerprint = first.model_fingerprint[:16]
    typer.echo(f"model    {first.model}, {protocol.dtype}{inputs}, {first.device}, fingerprint {fingerprint}")
    typer.echo(f"text     {first.text}, {protocol.text_tokens} tokens, sha256 {first.text_sha256[:16]}")
    typer.echo(
        f"windows  {protocol.windows} of {protocol.sequence_length} tokens, stride {protocol.stride}, "
        f"bos {protocol.bos}, {protocol.scored_tokens} tokens scored"
    )
    for method in methods:
        if told := method.stored_calibration:
            typer.echo(
                f"stored   recipe {method.name}, calibrated on {told.text}, {told.windows} windows of "
                f"{told.window_length} tokens, sha256 {told.sha256[:16]}, as the checkpoint says"
            )
    typer.echo("")
    width = max(len(method.title) for method in methods)
    typer.echo(f"{'method':{width}}  bits  with scales  norm. error  nll/token  perplexity")
    for method, result in zip(methods, results, strict=True):
        nominal = "-" if method.nominal_bits is None else f"{method.nominal_bits:.2f}"
        bits = "-" if result.bits_per_weight is None else f"{result.bits_per_weight:.3f}"
        error = "-" if result.normalised_error is None else f"{result.normalised_error:.4f}"
        measured = result.result
        typer.echo(
            f"{method.title:{width}}  {nominal:>4}  {bits:>11}  {error:>11}  "
            f"{measured.nll:9.4f}  {measured.perplexity:10.5g}"
        )
