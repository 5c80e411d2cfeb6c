"""Compares the power engine with a current OpenSTA or OpenROAD on the same activity; writes power-check.md.

    OPENSTA_EXE=/path/to/sta fineq power-check --output build/power-check

Debian's OpenSTA cannot read activity: without a newer one this says so and writes nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

from fineq.common.errors import FineqError
from fineq.common.tools import ToolError
from fineq_asic.activity.workload import default_data, gaussian_data
from fineq_asic.errors import SynthesisError
from fineq_asic.flows.other_power_tools import find_power_tools
from fineq_asic.flows.power_comparison import LIMIT, chosen_designs, compare_all, markdown, tool_versions
from fineq_asic.mapping.closure import find_tools

NO_TOOL = (
    "power check skipped: no OpenSTA or OpenROAD that can read activity; "
    "set OPENSTA_EXE or OPENROAD_EXE to a current one"
)


def main(
    output: Annotated[Path, typer.Option(help="directory for the report")] = Path("build/power-check"),
    design: Annotated[list[str] | None, typer.Option(help="only this design (may be repeated)")] = None,
    gaussian: Annotated[bool, typer.Option(help="drive the netlists with seeded Gaussian rows")] = False,
    cache: Annotated[Path | None, typer.Option(help="directory that keeps mapped netlists by their content")] = None,
) -> None:
    """Our power engine beside another tool's report_power, on the same activity."""
    torch.set_num_threads(1)
    try:
        if not find_power_tools():
            typer.echo(NO_TOOL)
            return
        chosen = [(d, row) for d, row in chosen_designs() if not design or d.top in design]
        if not chosen:
            raise SynthesisError(f"no such design: choose from {', '.join(d.top for d, _ in chosen_designs())}")
        tools = find_tools()
        data = gaussian_data() if gaussian else default_data()
        output.mkdir(parents=True, exist_ok=True)
        comparisons = compare_all(chosen, data, tools, output / "work", typer.echo, cache)
        text = markdown(comparisons, data, tools.versions() | tool_versions(), "fineq power-check")
        part = output / "power-check.md.part"
        part.write_text(text, encoding="utf-8")
        os.replace(part, output / "power-check.md")
        typer.echo(f"wrote {output / 'power-check.md'}")
    except OSError as error:
        typer.echo(f"error: cannot write to {output}: {error.strerror}", err=True)
        sys.exit(1)
    except (SynthesisError, ToolError, FineqError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    if any(abs(c.difference(tool)) > LIMIT for c in comparisons for tool in c.theirs):
        typer.echo(f"error: a difference is larger than {100 * LIMIT:g} %: see {output / 'power-check.md'}", err=True)
        sys.exit(1)
