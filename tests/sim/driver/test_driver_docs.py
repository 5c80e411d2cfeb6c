"""The session in docs/hardware/driver.md runs as it stands and prints what it says."""

import ast
import contextlib
import io
import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "hardware" / "driver.md"


def run(block: str, names: dict) -> str:
    """What a notebook shows below a cell: what it prints, or the value of its last expression."""
    body = ast.parse(block).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), PAGE.name, "exec"), names)
        value = eval(compile(ast.Expression(last.value), PAGE.name, "eval"), names) if last else None
    return printed.getvalue().rstrip() if value is None else repr(value)


def test_the_example_of_the_page():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 6
    names: dict = {}
    compared = 0
    for block in blocks:
        expected = re.findall(r"^# (.*)$", block, re.MULTILINE)
        shown = run(block, names)
        if expected:
            assert shown == "\n".join(expected)
            compared += 1
    assert compared >= 6
