"""`fineq generate`: what models say, quantized or not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fineq.commands.notes import note_slow_path


def generate(
    models: Annotated[
        list[str] | None, typer.Argument(help="Model directories, or hub ids. Without: the shipped model.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="What the models go on with.")] = "Once upon a time",
    tokens: Annotated[int, typer.Option(min=1, help="Tokens to add, at most.")] = 60,
    activation: Annotated[
        str, typer.Option(help="What packed layers do with their inputs: float, or int8 as the hardware does.")
    ] = "float",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Markdown file for the texts.")] = None,
) -> None:
    """Let models go on with a prompt, the most likely token each time; nothing is drawn at random."""
    from fineq.checkpoint.source import find_directory
    from fineq.common.files import write_text
    from fineq.evaluation.evaluate import check_result_place
    from fineq.evaluation.generation import continuation
    from fineq.huggingface.loading import load_model, load_tokenizer
    from fineq.models.locations import shipped_model_path

    if output is not None:
        check_result_place(output)
    note_slow_path()
    said = []
    for path in [find_directory(model) for model in models or []] or [shipped_model_path()]:
        text = continuation(load_model(path, activation=activation), load_tokenizer(path), prompt, tokens)
        said.append((path.resolve().name, text))
        typer.echo(f"{said[-1][0]}: {text}\n")
    if output is not None:
        parts = [
            f"# What models say\n\nPrompt: {prompt}\n\nAt most {tokens} tokens more, the most likely one each time."
        ]
        parts += [f"## {name}\n\n```\n{text}\n```" for name, text in said]
        write_text(output, "\n\n".join(parts) + "\n")
