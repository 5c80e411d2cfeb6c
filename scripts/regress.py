"""Long checks one after the other; what has passed on the same sources is not run again.

    python scripts/regress.py DIRECTORY "NAME: COMMAND" ...      # `make regress` gives the steps

A step that passes leaves `DIRECTORY/NAME.json` with the tree of git that it has passed on, so a run that was stopped,
or whose step failed for want of a network, goes on where it was. Where files differ from the commit or are new, nothing
is kept: every step runs. The first step that fails ends the run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path


def tree_of(repository: Path) -> str:
    """Hash of all files of the commit, or '' if the files in the repository are not those."""
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=repository, capture_output=True, text=True)
    head = subprocess.run(["git", "rev-parse", "HEAD^{tree}"], cwd=repository, capture_output=True, text=True)
    return "" if changed.returncode or changed.stdout or head.returncode else head.stdout.strip()


def passed(stamp: Path, tree: str, command: str) -> float | None:
    """Seconds that a step took when it passed on this tree; None if it has not."""
    try:
        kept = json.loads(stamp.read_text(encoding="utf-8"))
        return float(kept["seconds"]) if tree and (kept["tree"], kept["command"]) == (tree, command) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def run(directory: Path, steps: Sequence[str], repository: Path) -> int:
    """Run the steps; 0 if all pass, else the status of the one that failed.

    Args:
        directory: for what is kept; created.
        steps: `NAME: COMMAND`, the command for a shell.
        repository: where the commands run.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, step in enumerate(steps, 1):
        name, _, command = (part.strip() for part in step.partition(":"))
        stamp = directory / f"{name}.json"
        tree = tree_of(repository)
        seconds = passed(stamp, tree, command)
        if seconds is not None:
            lines.append(f"{name}: passed before on tree {tree[:12]}, {_duration(seconds)}")
            print(f"[{number}/{len(steps)}] {lines[-1]}", flush=True)
            continue
        print(f"[{number}/{len(steps)}] {name}: {command}", flush=True)
        begin = time.monotonic()
        status = subprocess.run(command, shell=True, cwd=repository).returncode
        seconds = time.monotonic() - begin
        if status:
            print(f"{name} fails after {_duration(seconds)}; the same command goes on with it", file=sys.stderr)
            return status
        lines.append(f"{name}: passed in {_duration(seconds)}")
        if tree and tree == tree_of(repository):
            kept = {"tree": tree, "command": command, "seconds": round(seconds, 1)}
            stamp.write_text(json.dumps(kept) + "\n", encoding="utf-8")
        else:
            lines[-1] += "; not kept, since files differ from the commit"
    print(*lines, sep="\n")
    return 0


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


if __name__ == "__main__":
    if len(sys.argv) < 3 or not all(":" in step for step in sys.argv[2:]):
        sys.exit(__doc__)
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:], Path(__file__).resolve().parents[1]))
