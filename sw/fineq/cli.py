"""The `fineq` command line. The subcommands live in `fineq.commands`, one module each."""

from __future__ import annotations

import os
import pkgutil
import sys
from importlib import import_module, metadata

import typer

from fineq import commands
from fineq.errors import FineqError

app = typer.Typer(
    name="fineq",
    help="Fine-grained mixed-precision 2.33-bit quantization of LLM weights.",
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


for _module in sorted(module.name for module in pkgutil.iter_modules(commands.__path__)):
    import_module(f"fineq.commands.{_module}").register(app)


def main() -> None:
    """Entry point: bad input ends with one sentence on stderr and exit code 1."""
    try:
        app()
    except FineqError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
