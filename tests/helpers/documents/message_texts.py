"""The texts that the code can say: every string in the sources, with `...` where a value is filled in."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROOMS = ("sw", "hw", "sim", "scripts")


def _text(node: ast.expr) -> str | None:
    """A string as it is said; None: it is no string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "..." for part in node.values)
    return None


def message_texts() -> Iterator[str]:
    """Strings of all Python sources."""
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.expr) and (text := _text(node)):
                    yield text
