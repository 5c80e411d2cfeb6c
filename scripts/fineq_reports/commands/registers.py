"""`fineq registers`: docs/registers.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def registers(output: Annotated[Path, typer.Option(help="File to write.")] = Path("docs/registers.md")) -> None:
    """Write the register map, the descriptor format and the error codes as Markdown."""
    from fineq.common.files import write_text
    from fineq_reports.registers_page import document

    write_text(output, document())
