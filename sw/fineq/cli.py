"""The `fineq` command line: one command, whose sub-commands come from the packages that are installed.

A package names its sub-commands as entry points of the group `fineq.commands` (pyproject.toml), each a function
with typer's annotations. They are loaded when they are asked for; what lacks an optional dependency says so when it
is called, and does not disturb the others.
"""

from __future__ import annotations

import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from fineq.common.errors import UserError
from fineq.common.provenance import command_line, recording

GROUP = "fineq.commands"

DISTRIBUTIONS = {"cocotb_tools": "cocotb", "cocotbext": "cocotbext-axi"}
"""Distributions that do not have the name under which their package is imported."""


def commands() -> dict[str, metadata.EntryPoint]:
    """Entry points of all sub-commands by name."""
    return {entry.name: entry for entry in metadata.entry_points(group=GROUP)}


def load(entry: metadata.EntryPoint) -> TyperCommand:
    """The command behind an entry point."""
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(entry.name, cls=_Command)(entry.load())
    command = cast(_Command, typer.main.get_command(single))  # a group only if there were several
    command.module = entry.module
    command.help = escape(command.help or "")  # rich would take [brackets] for markup and drop them
    return command


class _Command(TyperCommand):
    """A sub-command whose help may list names that are known only when it is printed.

    What it writes to a directory of published results is entered in the record there.
    """

    module = ""

    def invoke(self, ctx: Any) -> Any:
        values = [each for value in ctx.params.values() for each in (value if isinstance(value, list) else [value])]
        paths = [value for value in values if isinstance(value, Path)]
        with recording(paths, command=command_line(sys.argv[1:]), code=[self.module]):
            return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from fineq.commands.choices import filled

        for parameter in self.params:
            if isinstance(text := getattr(parameter, "help", None), str):
                setattr(parameter, "help", escape(filled(text)))  # noqa: B010  (typer's parameters have it, click's not)
        super().format_help(ctx, formatter)


class _Commands(TyperGroup):
    """Sub-commands from entry points. The class of a context is private to typer, which brings a click of its own."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(commands())

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        entry = commands().get(cmd_name)
        if entry is None:
            return None
        try:
            return load(entry)
        except ModuleNotFoundError as error:
            return _unavailable(cmd_name, error)


def _unavailable(name: str, error: ModuleNotFoundError) -> TyperCommand:
    """A command in place of one that cannot be loaded: the others work, and this one says what it lacks."""

    def refuse() -> None:
        raise error

    return TyperCommand(name, callback=refuse, help=escape(f"Not available: {what_is_missing(error)}"))


def what_is_missing(error: ModuleNotFoundError) -> str:
    """The sentence for a package that is not installed.

    Raises:
        ModuleNotFoundError: it belongs to no extra: the fault is in the code.
    """
    package = (error.name or "").partition(".")[0]
    distribution = DISTRIBUTIONS.get(package, package.replace("_", "-"))
    for requirement in metadata.requires("fineq") or []:
        found = re.fullmatch(r"([\w.-]+).*extra == [\"'](\w+)[\"']", requirement)
        if found and found[1] == distribution:
            return f"this needs the package {package}: run `pip install 'fineq[{found[2]}]'`"
    raise error


app = typer.Typer(
    name="fineq",
    cls=_Commands,
    help="Fine-grained mixed-precision 2.33-bit quantization of LLM weights, and its hardware.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fineq {metadata.version('fineq')}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Show the version."),
) -> None:
    pass


def main() -> None:
    """Entry point: bad input ends with one sentence on stderr and exit code 1."""
    try:
        app()
    except UserError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        _fail(what_is_missing(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.strerror is None:
            raise
        place = error.filename2 or error.filename
        _fail(f"cannot read or write {place}: {error.strerror}" if place else f"the system refuses: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(sentence: str) -> None:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(1)
