"""Compares the power engine with a current OpenSTA or OpenROAD on the same activity; writes power-check.md.

    OPENSTA_EXE=/path/to/sta fineq power-check --output build/power-check

Debian's OpenSTA cannot read activity: without a newer one this says so and writes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed, FineqError
from fineq.common.files import write_text

NO_TOOL = (
    "power check skipped: no OpenSTA or OpenROAD that can read activity; "
    "set OPENSTA_EXE or OPENROAD_EXE to a current one"
)


def power_check(
    output: Annotated[Path, typer.Option(help="directory for the report")] = Path("build/power-check"),
    design: Annotated[list[str] | None, typer.Option(help="only this design (may be repeated)")] = None,
    gaussian: Annotated[bool, typer.Option(help="drive the netlists with seeded Gaussian rows")] = False,
    cache: Annotated[Path | None, typer.Option(help="directory that keeps mapped netlists by their content")] = None,
) -> None:
    """Our power engine beside another tool's report_power, on the same activity."""
    import torch

    from fineq_asic.activity.workload import default_data, gaussian_data
    from fineq_asic.flows.other_power_tools import find_power_tools
    from fineq_asic.flows.power_comparison import LIMIT, chosen_designs, compare_all, markdown, tool_versions
    from fineq_asic.mapping.closure import find_tools

    torch.set_num_threads(1)
    if not find_power_tools():
        typer.echo(NO_TOOL)
        return
    chosen = [(d, row) for d, row in chosen_designs() if not design or d.top in design]
    if not chosen:
        raise FineqError(f"no such design: choose from {', '.join(d.top for d, _ in chosen_designs())}")
    tools = find_tools()
    data = gaussian_data() if gaussian else default_data()
    output.mkdir(parents=True, exist_ok=True)
    comparisons = compare_all(chosen, data, tools, output / "work", typer.echo, cache)
    text = markdown(comparisons, data, tools.versions() | tool_versions(), "fineq power-check")
    report = write_text(output / "power-check.md", text)
    typer.echo(f"wrote {report}")
    if any(abs(c.difference(tool)) > LIMIT for c in comparisons for tool in c.theirs):
        raise CheckFailed(f"a difference is larger than {100 * LIMIT:g} %: see {report}")
