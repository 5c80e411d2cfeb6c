"""Redraws every hardware table and plot of docs/results in one run: synthesis, power check, equivalence.

    python scripts/ppa.py --output build/ppa --results docs/results

Netlists and verdicts are kept in <output>/cache by the hash of everything they depend on, so a rerun maps
nothing again and gives the same bytes. What needs a tool that is not there is left as it is, with a sentence.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

SCRIPTS = Path(__file__).parent


def steps(sizes: list[str], proven: list[str], output: Path, limit_s: float, arguments: list[str]) -> list[list[str]]:
    """Commands of the run: script and its arguments."""
    cache = ["--cache", str(output / "cache"), "--output", str(output)]
    found = [["synth.py", "--size", size, *cache, *arguments] for size in sizes]
    found.append(["power_check.py", *cache])
    size_arguments = [word for size in proven for word in ("--size", size)]
    found.append(["equivalence.py", *size_arguments, "--whole", "--limit", f"{limit_s:g}", *cache])
    return found


def main(
    output: Annotated[Path, typer.Option(help="directory for reports, netlists and logs")] = Path("build/ppa"),
    results: Annotated[Path | None, typer.Option(help="copy the reports to this directory at the end")] = None,
    size: Annotated[list[str] | None, typer.Option(help="sizes to synthesise; default 16x16 and 64x64")] = None,
    proven: Annotated[list[str] | None, typer.Option(help="sizes to prove; default 5x7 and 64x64")] = None,
    limit: Annotated[float, typer.Option(help="seconds after which a proof is given up")] = 600,
    synth: Annotated[list[str] | None, typer.Option(help="further argument for synth.py (may be repeated)")] = None,
) -> None:
    """Every hardware table and plot from one run."""
    start = time.monotonic()
    failed = []
    for command in steps(size or ["16x16", "64x64"], proven or ["5x7", "64x64"], output, limit, synth or []):
        typer.echo(f"# {command[0]} {' '.join(command[1:])}")
        if subprocess.run([sys.executable, str(SCRIPTS / command[0]), *command[1:]], check=False).returncode:
            failed.append(command[0])
    try:
        copied = publish(output, results) if results is not None else []
    except OSError as error:
        typer.echo(f"error: cannot write to {results}: {error.strerror}", err=True)
        sys.exit(1)
    typer.echo(f"{len(copied)} files copied, {(time.monotonic() - start) / 60:.1f} minutes")
    if failed:
        typer.echo(f"error: {', '.join(failed)} failed: see above", err=True)
        sys.exit(1)


def publish(output: Path, results: Path) -> list[Path]:
    """Copy the reports of a run; each file appears whole or not at all."""
    results.mkdir(parents=True, exist_ok=True)
    copied = []
    for source in sorted(path for path in output.iterdir() if path.suffix in (".md", ".json", ".png")):
        part = results / f"{source.name}.part"
        part.write_bytes(source.read_bytes())
        os.replace(part, results / source.name)
        copied.append(results / source.name)
    return copied


if __name__ == "__main__":
    typer.run(main)
