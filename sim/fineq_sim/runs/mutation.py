"""Faults planted on purpose: the proof that the testbenches and tests would notice a real one.

A fault is a change of one piece of source text. It is made in a scratch copy of the packages, where the checks
that should notice it are run. The same checks first run on an unchanged copy and have to pass. What came of both is
kept under a hash of all that decides it, so a run that was stopped goes on where it was: for testbenches and proofs
the modules that they import, for tests in Python all that was copied.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from fineq.cli import GROUP
from fineq.common.cache_keys import cache_key
from fineq.common.errors import UserError
from fineq.common.files import write_text
from fineq.common.markdown import table
from fineq_sim.runs import simulators
from fineq_sim.runs.catalog import all_runs
from fineq_sim.runs.runner import default_cache

_BENCH = ("sw", "hw", "sim", "pyproject.toml")
_PROOF = (*_BENCH, "scripts")
COPIED = {"bench": _BENCH, "proof": _PROOF, "tests": (*_PROOF, "tests", "docs")}
"""What the checks of each kind may use: the packages that theirs may import, and what tests look at."""

OUTCOMES = "fault-outcomes"
"""Directory of outcomes in the cache of built simulations, for all commands that plant faults."""

TIME_LIMIT_S = 3600.0


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
    def kind(self) -> str:
        """Of its check: `bench`, `proof` or `tests`."""
        return "bench" if self.bench else "proof" if self.proof else "tests"

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


def copy_sources(repository: Path, target: Path, kind: str, fault: Fault | None = None) -> None:
    """Copy what checks of a kind may use, and plant a fault in the copy.

    Raises:
        MutationError: the text to change is not there exactly once.
    """
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*")
    for name in COPIED[kind]:
        source = repository / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignore)
        else:
            target.mkdir(parents=True, exist_ok=True)
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


def sources_digest(copy: Path) -> str:
    """SHA-256 over all files of a copy with their names, as hexadecimal."""
    digest = hashlib.sha256()
    for file in sorted(path for path in copy.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(copy).as_posix()}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


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


class _Checks:
    """Checks on copies of the sources, kept.

    Args:
        repository, scratch, faults: of `mutate`; scratch copies go into the second.
        kept: directory of outcomes, by a hash of what decides them.
        simulator, cache: of `mutate`.
    """

    def __init__(
        self, repository: Path, scratch: Path, faults: Sequence[Fault], kept: Path, simulator: str, cache: Path
    ) -> None:
        self.repository, self.scratch, self.kept = repository, scratch, kept
        self.simulator, self.cache = simulator, cache
        self.alone = {run.name: run.simulators[0] for run in all_runs() if simulator not in run.simulators}
        self.packages = sorted({f"{each.name}=={each.version}" for each in metadata.distributions()})
        self.digests = self._digests(faults)

    def clean(self, fault: Fault) -> None:
        """The check of a fault on an unchanged copy.

        Raises:
            MutationError: it fails.
        """
        failure = self._kept(fault, ["without a fault", fault.check], lambda: self._check(fault, planted=False))
        if failure is not None:
            raise MutationError(f"{fault.check} fails without any fault ({failure}): repair that first")

    def with_fault(self, fault: Fault, clean: Future[None]) -> FaultOutcome:
        """What comes of a fault, once its check is known to pass without it."""
        clean.result()
        return FaultOutcome(fault, self._kept(fault, ["with a fault", fault], lambda: self._check(fault, planted=True)))

    def _check(self, fault: Fault, planted: bool) -> str | None:
        copy = self.scratch / (fault.name if planted else f"{fault.name}-clean")
        copy_sources(self.repository, copy, fault.kind, fault if planted else None)
        try:
            return run_check(fault, copy, self._simulator(fault), self.cache)
        finally:
            shutil.rmtree(copy)

    def _digests(self, faults: Sequence[Fault]) -> dict[str, str]:
        """Of each check, a hash of what decides it; of whole copies, where other sources than these are checked."""
        these = (self.repository / "sim").resolve() in Path(__file__).resolve().parents
        benches = {run.name: f"fineq_sim.benches.{run.bench}" for run in all_runs()}
        whole: dict[str, str] = {}
        digests = {}
        for fault in faults:
            if these and fault.kind != "tests":
                (command,) = metadata.entry_points(group=GROUP, name="sim" if fault.bench else "formal")
                modules = {command.module} | ({benches[fault.bench]} if fault.bench else set())
                digests[fault.check] = cache_key(*sorted(modules))
            else:
                if fault.kind not in whole:
                    copy_sources(self.repository, self.scratch / "whole", fault.kind)
                    whole[fault.kind] = sources_digest(self.scratch / "whole")
                    shutil.rmtree(self.scratch / "whole")
                digests[fault.check] = whole[fault.kind]
        return digests

    def _simulator(self, fault: Fault) -> str:
        """The one that was asked for, where the bench runs on it."""
        return self.alone.get(fault.bench, self.simulator)

    def _kept(self, fault: Fault, what: list[object], find: Callable[[], str | None]) -> str | None:
        programs = [self.packages, simulators.build_versions(self._simulator(fault))]
        key = cache_key(__name__, inputs=[what, self.digests[fault.check], programs])
        file = self.kept / f"{key}.json"
        if file.is_file():
            return json.loads(file.read_text(encoding="utf-8"))
        failure = find()
        write_text(file, json.dumps(failure))
        return failure


def mutate(
    repository: Path,
    output: Path,
    faults: Sequence[Fault],
    *,
    simulator: str = "icarus",
    cache: Path | None = None,
    kept: Path | None = None,
    jobs: int = 1,
) -> Iterator[FaultOutcome]:
    """Plant each fault and yield what became of it, as they end.

    Args:
        repository: top of the repository.
        output: directory for the scratch copies.
        faults: what to plant.
        simulator: for the faults that a testbench must notice; a testbench that it does not run goes to the other one.
        cache: directory of built simulations.
        kept: directory of outcomes, which hold as long as nothing changes that a check may use; None: in `output`.
        jobs: checks at a time.

    Raises:
        MutationError: a check fails without any fault, or breaks down, or a fault no longer fits the sources.
    """
    cache = default_cache() if cache is None else cache.absolute()
    scratch, kept = output.absolute() / "copies", (output / "kept" if kept is None else kept).absolute()
    shutil.rmtree(scratch, ignore_errors=True)
    kept.mkdir(parents=True, exist_ok=True)
    checks = _Checks(repository, scratch, faults, kept, simulator, cache)
    clean: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(jobs) as pool:
        outcomes = []
        for fault in faults:
            # First come, first served: what an outcome waits for has been begun before it.
            if fault.check not in clean:
                clean[fault.check] = pool.submit(checks.clean, fault)
            outcomes.append(pool.submit(checks.with_fault, fault, clean[fault.check]))
        try:
            for outcome in as_completed(outcomes):
                yield outcome.result()
        finally:
            pool.shutdown(cancel_futures=True)


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
