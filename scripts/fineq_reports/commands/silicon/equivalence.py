"""Proves mapped netlists equal to their RTL, module by module and small cores as a whole; writes equivalence.md.

    fineq equivalence --size 5x7 --whole --output build/equivalence
    fineq equivalence --size 64x64 --cache build/ppa/cache --minutes 15

Verdicts are kept in the cache: a run that was stopped, or that was given so many minutes, goes on where it was when
the same command is given again.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed, FineqError
from fineq.common.files import write_text


def equivalence(
    size: Annotated[list[str] | None, typer.Option(help="array size (may be repeated); default 5x7")] = None,
    output: Annotated[Path, typer.Option(help="directory for the log")] = Path("build/equivalence"),
    design: Annotated[list[str] | None, typer.Option(help="only this design (may be repeated)")] = None,
    whole: Annotated[bool, typer.Option(help="prove the FineQ cores of the smallest size as a whole as well")] = False,
    limit: Annotated[float, typer.Option(help="seconds after which a proof is given up")] = 600,
    cache: Annotated[Path | None, typer.Option(help="directory that keeps netlists and verdicts")] = None,
    minutes: Annotated[float | None, typer.Option(help="begin no proof later; what is left is listed")] = None,
) -> None:
    """Equivalence of the mapped netlists with their RTL."""
    from fineq_asic.equivalence.whole import markdown, prove_all
    from fineq_asic.mapping.closure import find_tools
    from fineq_asic.mapping.designs import designs_of
    from fineq_hw.config import ArrayConfig

    sizes = size or ["5x7"]
    until = math.inf if minutes is None else time.monotonic() + 60 * minutes
    designs = [found for name in sizes for found in designs_of(name) if not design or found.top in design]
    if not designs:
        raise FineqError(f"no such design of size {', '.join(sizes)}: {', '.join(design or [])}")
    small = min(found.elements for found in designs)
    cores = [d.top for d in designs if d.elements == small and isinstance(d.config, ArrayConfig)] if whole else []
    tools = find_tools()
    output.mkdir(parents=True, exist_ok=True)
    work = output / "work"
    proofs = prove_all(designs, tools, work, typer.echo, whole=cores, limit_s=limit, cache=cache, until=until)
    words = [f"--size {name}" for name in sizes] + [f"--design {name}" for name in design or []]
    words += ["--whole"] * whole
    command = " ".join(["fineq equivalence", *words, f"--limit {limit:g}"])
    report = write_text(output / "equivalence.md", markdown(proofs, tools.versions(), command, limit))
    typer.echo(f"wrote {report}")
    wrong = [proof for proof in proofs if proof.verdict is not None and not proof.verdict.proven]
    if wrong:
        raise CheckFailed(f"{wrong[0].module} of {wrong[0].design} is not proven equal to its RTL")
