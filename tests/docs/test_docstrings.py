"""Docstrings can be read: after plain_docstrings and napoleon they are sound reStructuredText."""

import ast
import io
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import pytest
from docutils.core import publish_doctree
from plain_docstrings import as_restructured
from sphinx.ext.napoleon import Config, GoogleDocstring

ROOT = Path(__file__).parents[2]
SECTIONS = Config(
    napoleon_use_ivar=True,
    napoleon_custom_sections=[(name, "params_style") for name in ("Ports", "Streams", "Other ports")],
)


def docstrings(file: Path) -> Iterator[tuple[int, str]]:
    """Line and text of the docstrings of a file, those behind constants and fields included."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        for part in getattr(node, "body", []) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) else []:
            if (
                isinstance(part, ast.Expr)
                and isinstance(part.value, ast.Constant)
                and isinstance(part.value.value, str)
            ):
                yield part.lineno, cleandoc(part.value.value)


def complaints(text: str) -> str:
    """What docutils says of a docstring."""
    said = io.StringIO()
    lines = GoogleDocstring(as_restructured(text.splitlines()), SECTIONS).lines()
    publish_doctree("\n".join(lines), settings_overrides={"warning_stream": said, "report_level": 2})
    return said.getvalue()


@pytest.mark.parametrize("package", ["sw", "hw", "sim", "scripts"])
def test_docstrings_are_sound(package):
    wrong = {}
    for file in sorted((ROOT / package).rglob("*.py")):
        for line, text in docstrings(file):
            if said := complaints(text):
                wrong[f"{file.relative_to(ROOT)}:{line}"] = said
    assert wrong == {}


def test_markup_is_text_and_code_is_code():
    lines = "Mean of |w| and a*b, `x_` of `T`.\n\n    fineq sim\n\n* `one`: a\n  and b\n* two".splitlines()
    assert as_restructured(lines) == [
        *("Mean of \\|w\\| and a\\*b, ``x_`` of ``T``.", "", "::", "", "    fineq sim", ""),
        *("* ``one``: a", "  and b", "* two"),
    ]
    assert complaints("\n".join(lines)) == ""


def test_what_a_result_says_before_a_colon_is_no_type():
    lines = GoogleDocstring(as_restructured(["Count.", "", "Returns:", "    Cycles: at least 1."]), SECTIONS).lines()
    assert [line.strip() for line in lines if line.strip()] == ["Count.", ":returns: ..", "Cycles: at least 1."]


def test_a_fault_is_noticed():
    assert "unexpected unindent" in complaints("Text\n\n* one\n    * two\nthree")
