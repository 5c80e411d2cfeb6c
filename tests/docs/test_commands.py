"""The page of commands knows all of them, the page of Python all public names."""

import re
from pathlib import Path

import command_pages

import fineq
from fineq.cli import commands

ROOT = Path(__file__).parents[2]


def test_every_command_is_on_the_page():
    page = (ROOT / "docs/project/commands.md").read_text(encoding="utf-8")
    assert [name for name in commands() if f"`fineq {name}" not in page] == []


def strays(page: str, modules: dict[str, str]) -> list[str]:
    """Commands of the reports whose module is not in the room of the page's section that names them."""
    sections = re.split(r"^## (.*)$", page, flags=re.MULTILINE)[1:]
    rooms = {
        name: title.lower()
        for title, text in zip(sections[::2], sections[1::2], strict=True)
        for name in re.findall(r"`fineq ([a-z-]+)", "".join(re.findall(r"^\|([^|]*)\|", text, re.MULTILINE)))
    }
    return [
        name
        for name, module in modules.items()
        if module.startswith("fineq_reports.") and module.split(".")[2] != rooms.get(name)
    ]


def test_rooms_of_commands_are_the_sections_of_the_page():
    page = (ROOT / "docs/project/commands.md").read_text(encoding="utf-8")
    assert strays(page, {name: entry.module for name, entry in commands().items()}) == []
    assert strays("# C\n\n## Models\n\n| `fineq a`, `fineq b 1` | text |\n", {
        "a": "fineq_reports.commands.models.a",
        "b": "fineq_reports.commands.silicon.b",
        "c": "fineq_reports.commands.models.c",
        "d": "fineq.commands.d",
    }) == ["b", "c"]  # fmt: skip


def test_every_public_name_is_on_the_page():
    page = (ROOT / "docs/project/python.md").read_text(encoding="utf-8")
    assert [name for name in fineq.__all__ if f"`{name}`" not in page] == []


def test_the_reference_has_every_option(tmp_path):
    command_pages.write(tmp_path / "api" / "commands.md")
    page = (tmp_path / "api" / "commands.md").read_text(encoding="utf-8")
    assert [name for name in commands() if f"\n## fineq {name}\n" not in page] == []
    assert "| `-o`, `--output` | Directory to make. | required |" in page
    assert "| `--temperature` | 0: always the most likely token | 0.0 |" in page
