"""Writes the reference of the command line: every sub-command of `fineq` with its arguments and options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fineq.cli import commands, load
from fineq.commands.choices import filled


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table: what it says, and no markup."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _parameter(parameter: Any) -> str:
    """A row of the table: how it is written, what it means, what it is without."""
    argument = parameter.param_type_name == "argument"
    spelt = [parameter.name.upper()] if argument else [*parameter.opts, *parameter.secondary_opts]
    default = parameter.default
    silent = default is None or default is False or default == () or callable(default)
    shown = "required" if parameter.required else "" if silent else default
    names = ", ".join(f"`{each}`" for each in spelt)
    return f"| {names} | {_cell(filled(parameter.help or ''))} | {_cell(str(shown))} |"


def page() -> str:
    """The whole page as Markdown."""
    parts = ["# Every option of every command", "", "Made from the commands themselves; `--help` prints the same."]
    for name, entry in sorted(commands().items()):
        command = load(entry)
        help_text = (command.callback.__doc__ or "") if command.callback else ""
        paragraphs = [_cell(each) for each in help_text.split("\n\n")]
        parts += [
            "",
            f"## fineq {name}",
            "",
            "\n\n".join(paragraphs),
            "",
            "| option | what it does | without it |",
            "|---|---|---|",
        ]
        parts += [_parameter(each) for each in command.params if each.name != "help"]
    return "\n".join(parts) + "\n"


def write(file: Path) -> None:
    """Write the page."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page(), encoding="utf-8")
