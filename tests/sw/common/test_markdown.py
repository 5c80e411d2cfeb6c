"""Markdown tables."""

import pytest

from fineq.common.markdown import table


def test_a_table():
    rows = [("a|b", 1, "x\ny"), ("c", 20, "")]
    assert table(("name", "size", "text"), rows, "lr") == (
        "| name | size | text |\n|---|---:|---:|\n| a\\|b | 1 | x y |\n| c | 20 |  |\n"
    )


def test_bad_tables():
    with pytest.raises(ValueError, match="a row has 1 cells and the table 2 columns"):
        table(("a", "b"), [("c",)])
    with pytest.raises(ValueError, match="alignment is 'x'"):
        table(("a",), [], "x")
