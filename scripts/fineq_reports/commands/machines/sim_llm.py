"""Lets a language model speak through the simulated accelerator.

    fineq sim-llm [--model DIR] [--transport functional]

Every linear layer of every block runs on the verilated machine and is compared with the integer reference. Prints
the text token by token, then cycles, shares and early termination; writes sim-llm.md and sim-llm.json.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fineq.common.errors import CheckFailed, FineqError
from fineq_sim.llm.settings import OUTPUTS, Settings

if TYPE_CHECKING:
    from fineq_sim.llm.run import Step


def _check(name: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise FineqError(f"unknown {name} {value!r}: choose one of {', '.join(known)}")


def sim_llm(
    report: Annotated[Path, typer.Option(help="directory for the report")] = Path("build/sim-llm"),
    model: Annotated[
        str | None, typer.Option(help="model directory, or its name under FINEQ_MODELS; default: the shipped model")
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="text whose beginning is the prompt; default: the shipped one")
    ] = None,
    recipe: Annotated[str, typer.Option(help="recipe of the quantizer: {recipes}")] = Settings.recipe,
    accelerator: Annotated[str, typer.Option(help="machine")] = Settings.accelerator,
    transport: Annotated[str, typer.Option(help="verilated or functional")] = Settings.transport,
    output: Annotated[str, typer.Option(help="sums, or fixed: scaled by the vector unit")] = Settings.output,
    prefill: Annotated[int, typer.Option(min=1, help="tokens of the prompt")] = Settings.prefill,
    tokens: Annotated[int, typer.Option(min=1, help="tokens to generate")] = Settings.tokens,
    temperature: Annotated[float, typer.Option(min=0, help="0: always the most likely token")] = Settings.temperature,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="seed of the sampling")] = Settings.seed,
    early_termination: Annotated[bool, typer.Option(help="of the array")] = Settings.early_termination,
    latency: Annotated[int, typer.Option(min=1, help="of the memory, cycles to the first word")] = Settings.latency,
) -> None:
    """Generate text with the linear layers on the accelerator."""
    import torch

    from fineq.evaluation.perplexity import read_text, shipped_text_path
    from fineq.models.directory import check_model_directory
    from fineq.models.locations import find_model
    from fineq_hw.config import ACCELERATORS
    from fineq_reports.machine.llm_report import as_markdown, write_report
    from fineq_sim.llm.run import TRANSPORTS, run

    torch.set_num_threads(1)
    started = time.monotonic()

    def say(line: str) -> None:
        typer.echo(f"{time.monotonic() - started:6.1f} s  {line}")

    def step(progress: Step) -> None:
        cycles = "" if progress.cycles is None else f"{progress.cycles:>9,} cycles  "
        left = f"{progress.seconds_left:4.0f} s left"
        say(f"token {progress.number:3} of {tokens}  {cycles}{left}  {progress.piece!r}")

    _check("accelerator", accelerator, ACCELERATORS)
    _check("transport", transport, TRANSPORTS)
    _check("output", output, OUTPUTS)
    path = find_model(model)
    check_model_directory(path)
    content = read_text(shipped_text_path() if text is None else text).content
    settings = Settings(
        recipe,
        accelerator,
        transport,
        output,
        prefill,
        tokens,
        temperature,
        seed,
        early_termination,
        latency,
    )
    outcome = run(path, content, settings, step, say)
    typer.echo("\n" + as_markdown(outcome))
    for written in write_report(outcome, report):
        say(f"wrote {written}")
    if not outcome.software_same:
        raise CheckFailed("the machine's text differs from that of the integer reference")
