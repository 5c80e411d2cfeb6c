"""How exact the twin is, as a table: every named machine on many chains, and what the table holds for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from fineq.common import markdown
from fineq.common.files import write_text
from fineq_hw.config import ACCELERATORS, AcceleratorConfig, ArrayConfig
from fineq_hw.interface.registers import COUNTERS
from fineq_sim.driver.memory_timing import TIMING_HEADER, MemoryTiming
from fineq_sim.driver.verilated import simulated
from fineq_sim.perf.build import CODE_FILES, SOURCE
from fineq_sim.perf.cases import Case, large_cases, random_cases
from fineq_sim.perf.constants import machine_constants
from fineq_sim.perf.exactness import Outcome, compared
from fineq_sim.runs.duts import accelerator_design

NAME = "simulator"

MACHINES: dict[str, AcceleratorConfig] = ACCELERATORS | {
    "4x64_bitplane_ahead": AcceleratorConfig(
        ArrayConfig(rows=4, columns=64, encoding="bitplane", sign_handling="column"),
        channels_per_tile=64,
        final_channels=32,
        vector_words=4,
        addresses_ahead=True,
    ),
}
"""Machines of the table: those with a name, and one that has what none of them has."""

RANDOM_RUNS: dict[str, int] = {
    "4x64_bitplane_ahead": 80,
    "accelerator_5x7": 160,
    "accelerator_5x7_cluster": 100,
    "accelerator_8x24": 100,
    "accelerator_16x16": 60,
    "mac8x8_accelerator_5x7": 80,
    "mac8x3_accelerator_16x16": 60,
    "mac8x3_digits_accelerator_16x16": 60,
}
"""Runs with random jobs; the larger machines run `large_cases`."""

SEED = 16


@dataclass(frozen=True)
class Row:
    """Runs of one machine with one kind of memory.

    Attributes:
        machine, memory: what ran.
        runs, exact: how many, and in how many no counter differed.
        cycles: of the machine in all runs.
        failures: cases in which a counter differed, with the differences.
    """

    machine: str
    memory: str
    runs: int
    exact: int
    cycles: int
    failures: tuple[str, ...]


def cases_of(machine: str, runs: int | None = None) -> Iterator[Case]:
    """The cases of a named machine: `runs` of them, or as many as the table has."""
    config = MACHINES[machine]
    if machine not in RANDOM_RUNS and runs is None:
        return large_cases(config, SEED)
    return random_cases(config, RANDOM_RUNS.get(machine, 0) if runs is None else runs, SEED)


def memory_kind(memory: MemoryTiming) -> str:
    """What a memory is called in the table."""
    kind = f"DRAM, {memory.dram.name}" if memory.dram else "fixed"
    if memory.words_per_cycle < 1:
        kind += ", below a word a cycle"
    return kind + (", random stalls" if memory.stall else "")


def measure(machine: str, cases: Iterable[Case], say: Callable[[str], None] = lambda line: None) -> list[Row]:
    """Run cases on a machine and its twin; rows by kind of memory.

    Raises:
        SimulatorError, TwinError: a program that is needed is missing.
    """
    outcomes: dict[str, list[Outcome]] = {}
    with compared(MACHINES[machine]) as comparison:
        for case in cases:
            outcome = comparison.outcome(case)
            outcomes.setdefault(memory_kind(case.memory), []).append(outcome)
            if outcome.differences:
                say(f"{machine}: {case}: {outcome.differences}")
    return [_row(machine, kind, outcomes[kind]) for kind in sorted(outcomes)]


def _row(machine: str, kind: str, outcomes: list[Outcome]) -> Row:
    failures = tuple(f"{each.case}: {each.differences}" for each in outcomes if each.differences)
    cycles = sum(each.rtl["cycles"] for each in outcomes)
    return Row(machine, kind, len(outcomes), len(outcomes) - len(failures), cycles, failures)


# -- what the table holds for ------------------------------------------------------------------------------------


def twin_key(machine: str) -> str:
    """Hash of the twin's sources and of the numbers that it takes from a machine."""
    digest = hashlib.sha256(json.dumps(machine_constants(MACHINES[machine]), sort_keys=True).encode())
    for file in sorted([TIMING_HEADER, *(each for name in CODE_FILES for each in SOURCE.parents[1].glob(name))]):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def rtl_key(machine: str) -> str:
    """Hash of the machine's Verilog, as it is simulated."""
    digest = hashlib.sha256()
    for name, text in sorted(accelerator_design(simulated(MACHINES[machine])).sources.items()):
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()


# -- the table ---------------------------------------------------------------------------------------------------


def as_dict(rows: list[Row], keys: Mapping[str, Mapping[str, str]]) -> dict:
    """The table for programs; `keys`: `rtl` and `twin` by machine."""
    ordered = sorted(rows, key=_order)
    return {"command": "fineq simulate-check", "seed": SEED, "keys": keys, "rows": [asdict(row) for row in ordered]}


def _order(row: Row) -> tuple[int, str]:
    return list(MACHINES).index(row.machine), row.memory


def as_markdown(rows: list[Row]) -> str:
    """The table as a page."""
    runs, exact, cycles = (sum(getattr(row, name) for row in rows) for name in ("runs", "exact", "cycles"))
    cells = [_cells(name, [row for row in rows if row.machine == name]) for name in MACHINES]
    lines = [
        "# The cycle-level simulator against the RTL",
        "",
        f"Made by `fineq simulate-check` (seed {SEED}): chains of one to three jobs on the verilated machine and on "
        "the simulator's engine `exact`, with the same memory. Sizes reach from one to beyond two tiles in each "
        "direction, ragged ones among them, with all three outputs, with and without early termination; latencies are "
        f"1, 5 and 60 cycles. A run is exact if all {len(COUNTERS)} performance counters are equal.",
        "",
        f"{exact} of {runs} runs are exact, over {cycles:,} cycles of the machines.",
        "",
        "Exact runs, of how many, by memory; simulator.json tells the DRAM parts apart.",
        "",
        markdown.table(("machine", *_COLUMNS, "cycles"), [each for each in cells if each], "lr").rstrip(),
    ]
    failures = [failure for row in rows for failure in row.failures]
    lines += ["", "## Not exact", "", *(f"* {failure}" for failure in failures)] if failures else []
    return "\n".join(lines) + "\n"


_COLUMNS = {
    "fixed": lambda kind: kind == "fixed",
    "random stalls": lambda kind: kind == "fixed, random stalls",
    "below a word a cycle": lambda kind: kind.startswith("fixed, below"),
    "DRAM": lambda kind: kind.startswith("DRAM"),
}
"""Columns of the page, and the kinds of memory that they have together."""


def _cells(machine: str, rows: list[Row]) -> tuple[str, ...]:
    """A machine's line of the page; empty: it was not run."""
    if not rows:
        return ()
    parts = [[row for row in rows if among(row.memory)] for among in _COLUMNS.values()]
    shares = [f"{sum(row.exact for row in part)} of {sum(row.runs for row in part)}" for part in parts]
    return (f"`{machine}`", *shares, f"{sum(row.cycles for row in rows):,}")


def write_table(rows: list[Row], keys: Mapping[str, Mapping[str, str]], directory: Path) -> list[Path]:
    """Write simulator.md and simulator.json; each appears whole or not at all.

    Rows of other machines that are in the directory's table stay, with the keys that they were made with.
    """
    kept = directory / f"{NAME}.json"
    if kept.is_file():
        table = json.loads(kept.read_text(encoding="utf-8"))
        others = [Row(**row) for row in table["rows"] if row["machine"] not in keys]
        rows, keys = others + rows, {**table["keys"], **keys}
    texts = {"md": as_markdown(rows), "json": json.dumps(as_dict(rows, keys), indent=1) + "\n"}
    return [write_text(directory / f"{NAME}.{suffix}", text) for suffix, text in texts.items()]
