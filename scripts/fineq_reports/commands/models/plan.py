"""Plans the quantization of a large model on several machines, from one part that is done for real.

    fineq plan llama-2-70b -o docs/results

Writes plan-MODEL.md and plan-MODEL.json.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def plan(
    model: Annotated[str, typer.Argument(help="A LLaMA model by name, as for simulate.")] = "llama-2-70b",
    recipe: Annotated[str, typer.Option(help="That looks at the weights alone.")] = "mse",
    parts: Annotated[int, typer.Option(min=1, help="That the model is cut into; the one in the middle is done.")] = 80,
    work: Annotated[Path, typer.Option(help="Directory on the disk that is to be measured; removed.")] = Path("build"),
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory for the files.")] = Path("build/plan"),
) -> None:
    """Plan the quantization of a large model on several machines."""
    import tempfile

    from fineq.common.files import write_text
    from fineq.common.places import check_directory
    from fineq_reports.bench.machine import describe_machine
    from fineq_reports.plan.estimate import estimate
    from fineq_reports.plan.page import page, record
    from fineq_sim.workloads.named import named_shape

    check_directory(output)
    shape = named_shape(model)
    machine = describe_machine()
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="plan-", dir=work) as directory:
        found = estimate(shape, Path(directory), recipe, parts, typer.echo)
    command = "fineq " + " ".join(sys.argv[1:])
    for name, text in (("md", page(found, machine, command)), ("json", record(found, machine))):
        typer.echo(f"wrote {write_text(output / f'plan-{shape.name}.{name}', text)}")
