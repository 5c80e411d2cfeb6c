"""`fineq ppa`: the steps that draw every hardware table and plot of docs/results, each kept once it is done.

A step is done if the files it wrote are still there, byte for byte, and nothing it depends on has changed since:
its command and the code behind it, the tools, the models that it sees, the reports of other steps that it reads. So a
run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from fineq.cli import commands
from fineq.common.cache_keys import cache_key
from fineq.common.errors import UserError
from fineq.common.files import write_bytes, write_text
from fineq.common.markdown import table
from fineq.models.directory import model_fingerprint
from fineq.models.locations import MODELS_VARIABLE, further_models, shipped_model_path
from fineq_asic.errors import SynthesisError
from fineq_asic.flows.other_power_tools import find_power_tools
from fineq_asic.flows.power_comparison import tool_versions
from fineq_asic.layout.tool import find_openroad, openroad_version
from fineq_asic.mapping.closure import find_tools
from fineq_reports.layout.report import read_layout_report, write_summary
from fineq_sim.runs import simulators

SIZES = ("16x16", "64x64")
PROVEN = ("5x7", "64x64")
REPORTS = (".md", ".json", ".png", ".csv")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """One command of the run.

    Attributes:
        name: of the step, for `--step`.
        command: sub-command of `fineq` and its arguments; `{output}` stands for the directory of the run.
        files: patterns of the reports that it writes.
        missing: why it cannot run here, one sentence; empty if it can.
    """

    name: str
    command: tuple[str, ...]
    files: tuple[str, ...]
    missing: str = ""

    def shown(self) -> str:
        """The command as a reader would give it: models by name, no directories of this machine."""
        words = [Path(word).name if Path(word).is_absolute() else word for word in self.command]
        return " ".join(["fineq", *words]).replace("{output}", "build/ppa")


def steps(sizes: Sequence[str] = SIZES, proven: Sequence[str] = PROVEN, limit_s: float = 600) -> list[Step]:
    """All steps, in the order in which they need one another."""
    kept = ("--cache", "{output}/cache", "--output", "{output}")
    found = [Step(f"synth-{size}", ("synth", "--size", size, *kept), (f"synth-{size}.*",)) for size in sizes]
    # One size is enough: the simulator takes shares of a full step from it.
    events = ("array-energy", "--size", sizes[0], *kept)
    found.append(Step("array-energy", events, (f"array-energy-{sizes[0]}.*",)))
    no_tool = "" if find_power_tools() else "no OpenSTA or OpenROAD that can read activity: set OPENSTA_EXE"
    found.append(Step("power-check", ("power-check", *kept), ("power-check.md",), no_tool))
    chosen = tuple(word for size in proven for word in ("--size", size))
    command = ("equivalence", *chosen, "--whole", "--limit", f"{limit_s:g}", *kept)
    found.append(Step("equivalence", command, ("equivalence.md",)))
    try:
        find_openroad()
        no_tool = ""
    except SynthesisError as error:
        no_tool = str(error)
    found.append(Step("layout", ("pnr", *kept), ("layout-*",), no_tool))
    found.append(Step("throughput", ("throughput", "--report", "{output}"), ("throughput.*",)))
    found.append(
        Step(
            "architecture",
            ("architecture", "--output", "{output}"),
            ("architecture-*.png",),
        )
    )
    blocks = ("accelerator-blocks", "--output", "{output}")
    found.append(Step("accelerator-blocks", blocks, ("accelerator-blocks.*",)))
    models = (str(shipped_model_path()), *(str(path) for path in further_models()))
    area = ("--synthesis", f"{{output}}/synth-{sizes[-1]}.json")
    command = ("encodings", *models, "--windows", "8", *area, "-o", "{output}")
    found.append(Step("encodings", command, ("encodings.*",)))
    return found


def versions() -> dict[str, str]:
    """Versions and checksums of every tool that a step may use.

    Raises:
        SynthesisError: the library or OpenSTA is missing.
    """
    found = find_tools().versions() | tool_versions()
    others: dict[str, Callable[[], str]] = {
        "OpenROAD": lambda: openroad_version(find_openroad()),
        "Verilator": lambda: simulators.version("verilator"),
        "g++": lambda: simulators.compiler_version().splitlines()[0],
    }
    for name, version in others.items():
        try:
            found[name] = version()
        except (UserError, OSError):
            found[name] = "not there"
    return found


def key(step: Step, tools: dict[str, str], output: Path) -> str:
    """What a step depends on: its command's code, the tools, models and files that it reads by content; no places."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in step.command]
    models = [[path.name, model_fingerprint(path)] for path in (shipped_model_path(), *further_models())]
    read = [path for path in map(Path, _placed(step, output)) if path.is_file()]
    return cache_key(commands()[step.command[0]].module, inputs=[words, tools, models], files=read)


def _placed(step: Step, output: Path) -> list[str]:
    """The command of a step with the directory of the run in its place."""
    return [word.replace("{output}", str(output)) for word in step.command]


def run(chosen: Sequence[Step], output: Path, progress: Progress, fresh: bool = False) -> list[str]:
    """Run the steps that are not done yet.

    Args:
        chosen: the steps.
        output: directory for reports, netlists and logs.
        progress: called with lines.
        fresh: run what is done as well.

    Returns:
        Names of the steps that failed.
    """
    tools = versions()
    failed = []
    for step in chosen:
        if step.missing:
            progress(f"# {step.name}: left as it is: {step.missing}")
            continue
        note = output / "done" / f"{step.name}.json"
        wanted = key(step, tools, output)
        if not fresh and _is_done(note, wanted, output):
            progress(f"# {step.name}: done already")
            continue
        progress(f"# {step.name}: {step.shown()}")
        command = [sys.executable, "-m", "fineq", *_placed(step, output)]
        note.unlink(missing_ok=True)
        if subprocess.run(command, check=False).returncode:
            failed.append(step.name)
            continue
        files = {path.name: _checksum(path) for path in reports(output) if _writes(step, path.name)}
        write_text(note, json.dumps({"key": wanted, "files": files}, indent=1))
    return failed


def _writes(step: Step, name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in step.files)


def _is_done(note: Path, wanted: str, output: Path) -> bool:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        files = found["files"]
        if found["key"] != wanted or not files:
            return False
        return all(_checksum(output / name) == checksum for name, checksum in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def reports(directory: Path) -> list[Path]:
    """Reports in a directory, by name."""
    return sorted(path for path in directory.iterdir() if path.is_file() and path.suffix in REPORTS)


def redraw_layouts(results: Path, output: Path, progress: Progress) -> None:
    """Without OpenROAD: the table of all layouts again, from the JSON reports that are there."""
    found = [read_layout_report(path) for path in sorted(results.glob("layout-*.json"))]
    if found:
        progress(f"# layout: {write_summary(found, output).name} from {len(found)} reports")


def publish(output: Path, results: Path, failed: Sequence[Step]) -> list[Path]:
    """Copy the reports of a run, but not those of failed steps; each file appears whole or not at all."""
    results.mkdir(parents=True, exist_ok=True)
    copied = []
    for source in reports(output):
        if not any(_writes(step, source.name) for step in failed):
            copied.append(write_bytes(results / source.name, source.read_bytes()))
    return copied


def summary(chosen: Sequence[Step], output: Path) -> Path:
    """Write ppa.md: which command drew which file, with which tools."""
    models = ", ".join(path.name for path in further_models())
    rows = []
    for step in chosen:
        files = [f"[{path.name}]({path.name})" for path in reports(output) if _writes(step, path.name)]
        drawn = "left as committed: its tool is not there" if step.missing else ", ".join(files)
        rows.append((step.name, f"`{step.shown()}`", drawn))
    text = [
        "# All hardware tables and plots, from one run\n",
        "Made by `make ppa`. " + (f"`{MODELS_VARIABLE}` held {models}.\n" if models else "Shipped model only.\n"),
        table(("step", "command", "files"), rows),
        table(("tool", "version"), versions().items(), "lr"),
    ]
    return write_text(output / "ppa.md", "\n".join(text))
