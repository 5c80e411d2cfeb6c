"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

RULES = {"l": "---", "r": "---:", "c": ":---:"}


def table(headers: Sequence[object], rows: Iterable[Sequence[object]], align: str = "l") -> str:
    """A table, with a line break at the end.

    Args:
        headers: of the columns.
        rows: as many cells each; `|` in them is escaped, line breaks become spaces.
        align: `l`, `r` or `c` a column; the last one holds for all columns after it.

    Raises:
        ValueError: a row of another length, or an alignment that is none.
    """
    found = [*heading(*headers, align=align)]
    for cells in rows:
        if len(cells) != len(headers):
            raise ValueError(f"a row has {len(cells)} cells and the table {len(headers)} columns")
        found.append(line(*cells))
    return "\n".join([*found, ""])


def heading(*headers: object, align: str = "l") -> list[str]:
    """The two lines above the rows of a table."""
    if not align or set(align) - set(RULES):
        raise ValueError(f"alignment is {align!r}: give one of {', '.join(RULES)} for each column")
    columns = align + align[-1] * (len(headers) - len(align))
    return [line(*headers), "|" + "|".join(RULES[each] for each in columns[: len(headers)]) + "|"]


def line(*cells: object) -> str:
    """One row of a table."""
    return "| " + " | ".join(_cell(str(cell)) for cell in cells) + " |"


def _cell(text: str) -> str:
    return " ".join(text.split("\n")).replace("|", "\\|")
