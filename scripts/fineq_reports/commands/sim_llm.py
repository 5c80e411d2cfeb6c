"""Lets a language model speak through the simulated accelerator.

    fineq sim-llm [--model DIR] [--transport functional]

Every linear layer of every block runs on the verilated machine and is compared with the integer reference. Prints
the text token by token, then cycles, shares and early termination; writes sim-llm.md and sim-llm.json.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from fineq.common.errors import FineqError
from fineq.common.tools import ToolError
from fineq.evaluation.perplexity import read_text, shipped_text_path
from fineq.models.directory import check_model_directory
from fineq.models.locations import find_model
from fineq_hw.config import ACCELERATORS
from fineq_reports.machine.llm_report import as_markdown, write_report
from fineq_sim.driver import AcceleratorError
from fineq_sim.llm.executors import LayerMismatch
from fineq_sim.llm.run import TRANSPORTS, Settings, Step, run
from fineq_sim.runs.simulators import SimulatorError


def _check(name: str, value: str, known: object) -> None:
    if value not in known:
        raise ValueError(f"unknown {name} {value!r}: choose one of {', '.join(known)}")


def main(
    report: Annotated[Path, typer.Option(help="directory for the report")] = Path("build/sim-llm"),
    model: Annotated[
        str | None, typer.Option(help="model directory, or its name under FINEQ_MODELS; default: the shipped model")
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="text whose beginning is the prompt; default: the shipped one")
    ] = None,
    recipe: Annotated[str, typer.Option(help="recipe of the quantizer")] = Settings.recipe,
    accelerator: Annotated[str, typer.Option(help="machine")] = Settings.accelerator,
    transport: Annotated[str, typer.Option(help="verilated or functional")] = Settings.transport,
    output: Annotated[str, typer.Option(help="sums, or fixed: scaled by the vector unit")] = Settings.output,
    prefill: Annotated[int, typer.Option(min=1, help="tokens of the prompt")] = Settings.prefill,
    tokens: Annotated[int, typer.Option(min=1, help="tokens to generate")] = Settings.tokens,
    temperature: Annotated[float, typer.Option(min=0, help="0: always the most likely token")] = Settings.temperature,
    seed: Annotated[int, typer.Option(help="seed of the sampling")] = Settings.seed,
    early_termination: Annotated[bool, typer.Option(help="of the array")] = Settings.early_termination,
    latency: Annotated[int, typer.Option(min=1, help="of the memory, cycles to the first word")] = Settings.latency,
) -> None:
    """Generate text with the linear layers on the accelerator."""
    torch.set_num_threads(1)
    started = time.monotonic()

    def say(line: str) -> None:
        typer.echo(f"{time.monotonic() - started:6.1f} s  {line}")

    def step(progress: Step) -> None:
        cycles = "" if progress.cycles is None else f"{progress.cycles:>9,} cycles  "
        left = f"{progress.seconds_left:4.0f} s left"
        say(f"token {progress.number:3} of {tokens}  {cycles}{left}  {progress.piece!r}")

    try:
        _check("accelerator", accelerator, ACCELERATORS)
        _check("transport", transport, TRANSPORTS)
        _check("output", output, ("sums", "fixed"))
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
    except (FineqError, ValueError, SimulatorError, ToolError, AcceleratorError, LayerMismatch) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        typer.echo(f"error: cannot write to {report}: {error.strerror}", err=True)
        sys.exit(1)
    if not outcome.software_same:
        typer.echo("error: the machine's text differs from that of the integer reference", err=True)
        sys.exit(1)
