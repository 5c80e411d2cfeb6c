"""Faults planted on purpose: the proof that the testbenches and tests would notice a real one.

A fault is a change of one piece of source text. It is made in a scratch copy of the packages, where the checks
that should notice it are run. The same checks first run on an unchanged copy and have to pass.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fineq_sim.runner import default_cache

COPIED = ("sw", "hw", "sim", "tests", "docs", "pyproject.toml")
TIME_LIMIT_S = 600.0


class MutationError(RuntimeError):
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
    """

    name: str
    meaning: str
    file: str
    old: str
    new: str
    bench: str = ""
    tests: tuple[str, ...] = ()

    @property
    def check(self) -> str:
        return self.bench or " ".join(self.tests)


@dataclass(frozen=True)
class Verdict:
    """What became of a fault: the first check that failed, or None if it survived."""

    fault: Fault
    caught_by: str | None


_HW, _SW = "hw/fineq_hw", "sw/fineq"
_FORMAT_TESTS = ("tests/sw/test_format.py",)

FAULTS: tuple[Fault, ...] = (
    Fault(
        "decoder-fields-swapped",
        "decoder takes the two 3-bit fields in the wrong order",
        f"{_HW}/decoder.py",
        "slot = position - (position > zeroed)",
        "slot = 1 - (position - (position > zeroed))",
        "decoder/all",
    ),
    Fault(
        "decoder-sign-lost",
        "decoder drops the sign of 2-bit weights",
        f"{_HW}/decoder.py",
        "weight.sign.eq(normal[-1])",
        "weight.sign.eq(0)",
        "decoder/all",
    ),
    Fault(
        "decoder-wrong-index",
        "line decoder gives a cluster the index code of another pair",
        f"{_HW}/decoder.py",
        "indices.word_select(cluster // PAIR_CLUSTERS, INDEX_BITS)",
        "indices.word_select(cluster % (BLOCK_CLUSTERS // PAIR_CLUSTERS), INDEX_BITS)",
        "line_decoder/fineq_5x7",
    ),
    Fault(
        "encoder-off-by-one",
        "encoder sends one pulse too many",
        f"{_HW}/temporal_encoder.py",
        "enumerate(pulses[magnitude])",
        "enumerate(pulses[min(magnitude + 1, MAX_MAGNITUDE)])",
        "temporal_encoder/fineq_5x7",
    ),
    Fault(
        "encoder-stale-value",
        "encoder goes on with the pulses of the old weight when a new one comes",
        f"{_HW}/temporal_encoder.py",
        "Mux(self.load, incoming[width:], due >> width)",
        "due >> width",
        "temporal/fineq_5x7",
    ),
    Fault(
        "encoder-termination-ignored",
        "encoder does not run out of pulses",
        f"{_HW}/temporal_encoder.py",
        "incoming[width:], due >> width",
        "incoming[width:], due",
        "processing_array/fineq_5x7",
    ),
    Fault(
        "element-select-inverted",
        "processing element passes its activation when there is no pulse",
        f"{_HW}/processing_element.py",
        "(values[0], lines.pulse, 0)",
        "(values[0], ~lines.pulse, 0)",
        "processing_element/fineq_5x7",
    ),
    Fault(
        "tree-carry-dropped",
        "full adder forgets the carry of its third input",
        f"{_HW}/adder_tree.py",
        "self.carry.eq((self.a & self.b) | (self.c & (self.a ^ self.b)))",
        "self.carry.eq(self.a & self.b)",
        "adder_tree/mixed_structural",
    ),
    Fault(
        "correction-dropped",
        "accumulator leaves out the correction of the complemented products",
        f"{_HW}/accumulator.py",
        "[self.correction, *starts]",
        "[self.correction & 0, *starts]",
        "accumulator/fineq_5x7",
    ),
    Fault(
        "partial-not-added",
        "accumulator starts from zero instead of the partial sum",
        f"{_HW}/accumulator.py",
        "self.partial & self.take_partial.replicate(bits)",
        "self.partial & 0",
        "accumulator/fineq_5x7",
    ),
    Fault(
        "terminates-early",
        "control unit ends vectors with a +-3 one step too soon",
        f"{_HW}/control_unit.py",
        "cycles.eq(steps)",
        "cycles.eq(vector_cycles(min(magnitude, 2), encoding))",
        "temporal/fineq_5x7",
    ),
    Fault(
        "early-termination-stuck",
        "control unit ignores the early-termination input",
        f"{_HW}/control_unit.py",
        "with m.If(~self.early_termination):",
        "with m.If(~self.early_termination & 0):",
        "control_unit/fineq_5x7",
    ),
    Fault(
        "accumulate-ignored",
        "control unit never takes partial sums",
        f"{_HW}/control_unit.py",
        "self.take_partial.eq(takes_partial)",
        "self.take_partial.eq(0)",
        "temporal/fineq_5x7",
    ),
    Fault(
        "result-overwritten",
        "array goes on although its result was not taken",
        f"{_HW}/control_unit.py",
        "stalled = self.results_valid & ~self.results_ready",
        "stalled = self.results_valid & 0",
        "temporal/fineq_5x7",
    ),
    Fault(
        "row-counter-kept",
        "preload that ended early does not start again at row 0",
        f"{_HW}/control_unit.py",
        "m.d.sync += [row.eq(0), phase.eq(phases.COMPUTE)]",
        "m.d.sync += phase.eq(phases.COMPUTE)",
        "temporal/fineq_5x7",
    ),
    Fault(
        "slice-ignored",
        "packed core always takes the first weight vector of a line",
        f"{_HW}/core.py",
        "with m.Switch(line.slice):",
        "with m.Switch(line.slice & 0):",
        "layer_packed/4x12",
    ),
    Fault(
        "mac-skew-off-by-one",
        "MAC array delays every weight one cycle too long",
        f"{_HW}/mac_array.py",
        "[c if systolic else c + 1 for c",
        "[c + 1 for c",
        "mac/mac8x3_5x7",
    ),
    Fault(
        "mac-sign-ignored",
        "MAC array takes a negative weight as positive",
        f"{_HW}/mac_array.py",
        "Mux(weight.sign, -weight.magnitude, weight.magnitude)",
        "weight.magnitude",
        "mac/mac8x3_5x7",
    ),
    Fault(
        "pack-bit-order",
        "packing stores the fields of a block last first",
        f"{_SW}/format.py",
        "words |= fields[..., position].astype(np.uint64) << np.uint64(position * bits)",
        "words |= fields[..., position].astype(np.uint64) << np.uint64((fields.shape[-1] - 1 - position) * bits)",
        tests=_FORMAT_TESTS,
    ),
    Fault(
        "pack-index-swapped",
        "packing and unpacking both exchange index codes 1 and 3",
        f"{_SW}/format.py",
        "places, bits = [j for j in range(CLUSTER_WEIGHTS) if j != index_code - 1], OUTLIER_BITS",
        "places, bits = [j for j in range(CLUSTER_WEIGHTS) if j != 3 - index_code], OUTLIER_BITS",
        "line_decoder/fineq_5x7",
    ),
    Fault(
        "pack-sign-inverted",
        "packing stores the sign bit inverted",
        f"{_SW}/format.py",
        "(sign_bit if weight < 0 else 0)",
        "(sign_bit if weight > 0 else 0)",
        tests=_FORMAT_TESTS,
    ),
    Fault(
        "tie-takes-last",
        "quantizer in torch takes the last instead of the first among equal losses",
        f"{_SW}/quantizer.py",
        "is_less = candidate < least",
        "is_less = candidate <= least",
        tests=("tests/sw/test_kernels.py",),
    ),
    Fault(
        "kernel-tie-takes-last",
        "native quantizer takes the last instead of the first among equal losses",
        f"{_SW}/kernels/pairs.h",
        "Ints is_less = losses[code] < loss;",
        "Ints is_less = losses[code] <= loss;",
        tests=("tests/sw/test_reference.py",),
    ),
    Fault(
        "rounding-down",
        "activations are rounded down instead of half to even",
        f"{_SW}/activations.py",
        ".round().clamp(",
        ".floor().clamp(",
        tests=("tests/sw/test_activations.py",),
    ),
)
"""Every fault of `make mutate`."""


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
    environment["PYTHONPATH"] = os.pathsep.join(str(copy / name) for name in ("sw", "hw", "sim"))
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
        command = ["fineq_sim.regression", "--simulator", simulator, "--only", fault.bench, "--jobs", "1"]
        command += ["--output", str(results.parent)]
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
    faults: Sequence[Fault] = FAULTS,
    *,
    simulator: str = "icarus",
    cache: Path | None = None,
) -> Iterator[Verdict]:
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
        yield Verdict(fault, run_check(fault, copy, simulator, cache))
        shutil.rmtree(copy)


def markdown(verdicts: Sequence[Verdict], simulator: str) -> str:
    """The report."""
    caught = sum(verdict.caught_by is not None for verdict in verdicts)
    lines = [
        "# Mutation check",
        "",
        f"{caught} of {len(verdicts)} planted faults are caught. Command: `make mutate` (simulator: {simulator}).",
        "",
        "| fault | what is wrong | where | caught by | first failing test |",
        "|---|---|---|---|---|",
    ]
    for verdict in verdicts:
        fault = verdict.fault
        result = f"`{verdict.caught_by}`" if verdict.caught_by is not None else "**survives**"
        lines.append(f"| {fault.name} | {fault.meaning} | `{fault.file}` | `{fault.check}` | {result} |")
    return "\n".join(lines) + "\n"
