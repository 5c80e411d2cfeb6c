"""Faults planted on purpose: the proof that the testbenches and tests would notice a real one.

A fault is a change of one piece of source text. It is made in a scratch copy of the packages, where the checks
that should notice it are run. The same checks first run on an unchanged copy and have to pass.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fineq.common.errors import UserError
from fineq.common.markdown import table
from fineq_sim.runs.runner import default_cache

COPIED = ("sw", "hw", "sim", "scripts", "tests", "docs", "pyproject.toml")
TIME_LIMIT_S = 600.0


class MutationError(UserError, RuntimeError):
    """The mutation check itself cannot go on; the text says why."""


@dataclass(frozen=True)
class Fault:
    """A deliberate fault.

    Attributes:
        name: short name.
        meaning: what is wrong, for the report.
        file: the file it is in, relative to the top of the repository.
        old, new: the text that is there exactly once, and what takes its place.
        bench: name of a testbench run that must notice it, or ''.
        tests: pytest arguments of the tests that must notice it, for faults in software.
        proof: beginning of the names of the proofs one of which must fail (`fineq formal --list`), or ''. Of `bench`,
            `tests` and `proof` a fault has one.
    """

    name: str
    meaning: str
    file: str
    old: str
    new: str
    bench: str = ""
    tests: tuple[str, ...] = ()
    proof: str = ""

    @property
    def check(self) -> str:
        return self.bench or self.proof or " ".join(self.tests)


@dataclass(frozen=True)
class FaultOutcome:
    """What became of a fault: the first check that failed, or None if it survived."""

    fault: Fault
    caught_by: str | None


def load_faults(directory: Path) -> tuple[Fault, ...]:
    """The faults of all `*.toml` files of a directory, file by file in the order of their names.

    Raises:
        MutationError: there is no such file, or one of them is no list of faults.
    """
    files = sorted(directory.glob("*.toml"))
    if not files:
        raise MutationError(f"no *.toml file with faults in {directory}: give the directory with --faults")
    faults = []
    for file in files:
        try:
            entries = tomllib.loads(file.read_text(encoding="utf-8"))["fault"]
            faults += [Fault(**entry | {"tests": tuple(entry.get("tests", ()))}) for entry in entries]
        except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
            raise MutationError(f"{file} is not a list of faults: {error}") from error
    return tuple(faults)


def copy_sources(repository: Path, target: Path, fault: Fault | None = None) -> None:
    """Copy the packages and tests, and plant a fault in the copy.

    Raises:
        MutationError: the text to change is not there exactly once.
    """
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*")
    for name in COPIED:
        source = repository / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignore)
        else:
            shutil.copy2(source, target / name)
    if fault is None:
        return
    file = target / fault.file
    text = file.read_text() if file.is_file() else ""
    if text.count(fault.old) != 1:
        raise MutationError(
            f"fault {fault.name}: its text stands {text.count(fault.old)} times in {fault.file} and must stand "
            f"there once; bring the fault up to date"
        )
    file.write_text(text.replace(fault.old, fault.new))


def _run(command: list[str], copy: Path, cache: Path, log: Path) -> int:
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(str(copy / name) for name in ("sw", "hw", "sim", "scripts"))
    environment["FINEQ_SIM_CACHE"] = str(cache)
    environment["COCOTB_MAX_FAILURES"] = "1"  # one is enough
    with log.open("w") as stream:
        try:
            return subprocess.run(
                command, cwd=copy, env=environment, stdout=stream, stderr=subprocess.STDOUT, timeout=TIME_LIMIT_S
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise MutationError(f"`{' '.join(command)}` did not end within {TIME_LIMIT_S:.0f} s") from error


def _first_failure(results: Path) -> tuple[int, str | None, bool]:
    """Tests in a JUnit file, the first that failed, and whether something broke down before any test."""
    root = ElementTree.parse(results).getroot()
    cases = list(root.iter("testcase"))
    failed = [case.get("name") for case in cases if case.find("failure") is not None]
    broken = any(case.find("error") is not None for case in cases)
    return len(cases), failed[0] if failed else None, broken


def run_check(fault: Fault, copy: Path, simulator: str, cache: Path) -> str | None:
    """Run the check of a fault on a copy of the sources.

    Returns:
        The first test that failed, or None if all pass.

    Raises:
        MutationError: the check broke down instead of failing, which proves nothing.
    """
    log = copy / "check.log"
    if fault.bench:
        results = copy / "sim-out" / "results.xml"
        command = ["fineq", "sim", "--simulator", simulator, "--only", fault.bench, "--jobs", "1"]
        command += ["--output", str(results.parent)]
    elif fault.proof:
        results = copy / "formal-out" / "results.xml"
        command = ["fineq", "formal", "--only", fault.proof, "--jobs", "1", "--output", str(results.parent)]
        command += ["--cache", str(cache / "formal")]
    else:
        results = copy / "results.xml"
        command = ["pytest", "-q", "-x", "-m", "not regress", "-p", "no:cacheprovider", f"--junitxml={results}"]
        command += list(fault.tests)
    code = _run([sys.executable, "-m", *command], copy, cache, log)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    if not results.is_file():
        raise MutationError(f"fault {fault.name}: the check broke down:\n{tail}")
    count, failure, broken = _first_failure(results)
    if broken or not count or (code != 0) != (failure is not None):
        raise MutationError(f"fault {fault.name}: the check broke down:\n{tail}")
    return failure


def mutate(
    repository: Path,
    output: Path,
    faults: Sequence[Fault],
    *,
    simulator: str = "icarus",
    cache: Path | None = None,
) -> Iterator[FaultOutcome]:
    """Plant each fault in turn and yield what became of it.

    Args:
        repository: top of the repository.
        output: directory for the scratch copies.
        faults: what to plant.
        simulator: for the faults that a testbench must notice.
        cache: directory of built simulations.

    Raises:
        MutationError: a check fails without any fault, or breaks down, or a fault no longer fits the sources.
    """
    cache = default_cache() if cache is None else cache.absolute()
    scratch = output.absolute() / "copies"
    shutil.rmtree(scratch, ignore_errors=True)
    clean = scratch / "clean"
    copy_sources(repository, clean)
    checked: set[str] = set()
    for fault in faults:
        if fault.check not in checked:
            failure = run_check(fault, clean, simulator, cache)
            if failure is not None:
                raise MutationError(f"{fault.check} fails without any fault ({failure}): repair that first")
            checked.add(fault.check)
        copy = scratch / fault.name
        copy_sources(repository, copy, fault)
        yield FaultOutcome(fault, run_check(fault, copy, simulator, cache))
        shutil.rmtree(copy)


def markdown(verdicts: Sequence[FaultOutcome], simulator: str) -> str:
    """The report."""
    caught = sum(verdict.caught_by is not None for verdict in verdicts)
    rows = []
    for verdict in verdicts:
        fault = verdict.fault
        result = f"`{verdict.caught_by}`" if verdict.caught_by is not None else "**survives**"
        rows.append((fault.name, fault.meaning, f"`{fault.file}`", f"`{fault.check}`", result))
    return (
        f"# Mutation check\n\n{caught} of {len(verdicts)} planted faults are caught. "
        f"Command: `make mutate` (simulator: {simulator}).\n\n"
    ) + table(("fault", "what is wrong", "where", "caught by", "first failing test"), rows)
