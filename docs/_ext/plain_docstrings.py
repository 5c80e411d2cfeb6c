"""Lets the docstrings of this project, plain text with `code` in single backticks, be read as reStructuredText.

Inside backticks stands code. Outside of them a star, a bar or an underscore is that character, no markup, but for the
star of a list. Lines that are indented after a blank line are code, as in Markdown. Tables drawn with `=` are shown
as they are.
"""

from __future__ import annotations

import re
from itertools import chain

from sphinx.application import Sphinx

_PARTS = re.compile(r"`([^`]+)`|^ *\* |[*|\\]|(?<=\w)_(?!\w)", re.MULTILINE)
"""Code; the begin of an item of a list, which stays; characters that would be markup."""
_ONE_VALUE = {"attribute", "data", "property"}
_RESULTS = {"Returns:", "Yields:"}
_COMMENT = ".."
"""Of one value, and of results, napoleon takes the first line up to a colon for a type; types stand in the code here.
So an empty comment becomes that line."""
_TABLE = re.compile(r"\s*={3,}")


def _escaped(text: str) -> str:
    """A paragraph with its code as literals, and every other character as itself."""
    if _TABLE.match(text):
        return "::\n\n" + "\n".join(f"    {line}" for line in text.split("\n"))
    return _PARTS.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    if found[1]:
        return f"``{' '.join(found[1].split())}``" + "\\ " * found.string[found.end() :][:1].isalnum()
    return found[0] if found[0].endswith(" ") else "\\" + found[0]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def as_restructured(lines: list[str]) -> list[str]:
    """Lines of a docstring as reStructuredText, sections such as `Args:` left to napoleon."""
    found: list[str] = []
    paragraph: list[str] = []
    code: int | None = None
    """Least indent of the code that is being read."""

    def end_paragraph() -> None:
        found.extend(_escaped("\n".join(paragraph)).split("\n") if paragraph else [])
        paragraph.clear()

    before = 0
    for line, last in zip(lines, chain([""], lines), strict=False):
        if not line.strip():
            end_paragraph()
            found.append("")
            continue
        if code is not None and _indent(line) < code:
            code = None
        if code is None and not last.strip() and found and _indent(line) >= before + 4:
            code = _indent(line)
            found.extend([" " * before + "::", ""])
        if code is None:
            before = _indent(line)
            paragraph.append(line)
            if line.strip() in _RESULTS:
                end_paragraph()
                found.extend([" " * (_indent(line) + 4) + _COMMENT, ""])
        else:
            found.append(line)
    end_paragraph()
    return found


def _process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = as_restructured(lines)
    if what in _ONE_VALUE:
        lines[:0] = [_COMMENT, ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Put it before napoleon, which reads sections."""
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
