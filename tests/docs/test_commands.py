"""The page of commands knows all of them, the page of Python all public names."""

from pathlib import Path

import command_pages

import fineq
from fineq.cli import commands

ROOT = Path(__file__).parents[2]


def test_every_command_is_on_the_page():
    page = (ROOT / "docs/project/commands.md").read_text(encoding="utf-8")
    assert [name for name in commands() if f"`fineq {name}" not in page] == []


def test_every_public_name_is_on_the_page():
    page = (ROOT / "docs/project/python.md").read_text(encoding="utf-8")
    assert [name for name in fineq.__all__ if f"`{name}`" not in page] == []


def test_the_reference_has_every_option(tmp_path):
    command_pages.write(tmp_path / "api" / "commands.md")
    page = (tmp_path / "api" / "commands.md").read_text(encoding="utf-8")
    assert [name for name in commands() if f"\n## fineq {name}\n" not in page] == []
    assert "| `-o`, `--output` | Directory to make. | required |" in page
    assert "| `--temperature` | 0: always the most likely token | 0.0 |" in page
