"""The twin counts what the RTL counts: random chains on both, all counters, no tolerance."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from fineq_hw.config import ACCELERATORS
from fineq_hw.interface.jobs import OutputFormat
from fineq_hw.interface.registers import COUNTERS
from fineq_sim.driver import Counters
from fineq_sim.perf import exactness_table
from fineq_sim.perf.cases import Case, random_cases
from fineq_sim.perf.exactness import Outcome, compared
from fineq_sim.perf.exactness_table import MACHINES, RANDOM_RUNS, cases_of, memory_kind, rtl_key, twin_key

TABLE = Path(__file__).parents[3] / "docs/results/simulator.json"
SMALL = ("accelerator_5x7", "mac8x8_accelerator_5x7")
"""Machines whose Verilog is made in no time; together they have every block."""


def published() -> dict:
    """The table; empty: it has not been made."""
    return json.loads(TABLE.read_text()) if TABLE.is_file() else {"rows": [], "keys": {}}


def differing(machine: str, cases) -> list[str]:
    with compared(MACHINES[machine]) as comparison:
        outcomes = [comparison.outcome(case) for case in cases]
    assert all(set(outcome.rtl.values) == {counter.name for counter in COUNTERS} for outcome in outcomes)
    return [f"{outcome.case}: {outcome.differences}" for outcome in outcomes if outcome.differences]


def test_the_smallest_machine():
    cases = list(random_cases(ACCELERATORS["accelerator_5x7"], 60, seed=1))
    kinds = Counter(memory_kind(case.memory).partition(",")[0] for case in cases)
    assert kinds["DRAM"] >= 3 and kinds["fixed"] >= 40
    assert {layer.output for case in cases for layer in case.layers} == set(OutputFormat)
    assert {len(case.layers) for case in cases} == {1, 2, 3}
    assert differing("accelerator_5x7", cases) == []


@pytest.mark.regress
@pytest.mark.parametrize("machine", RANDOM_RUNS)
def test_every_small_machine(machine):
    assert differing(machine, random_cases(MACHINES[machine], 40, seed=2)) == []


def test_a_difference_is_told():
    case = next(iter(cases_of("accelerator_5x7")))
    values = dict.fromkeys((counter.name for counter in COUNTERS), 7)
    same, other = Counters(values, True), Counters(values | {"tiles": 9, "cycles": 4}, True)
    assert Outcome(case, same, same).differences == {}
    assert Outcome(case, same, other).differences == {"cycles": -3, "tiles": 2}


# -- the table of docs/results -------------------------------------------------------------------------------------


def test_the_published_table_is_exact_and_whole():
    assert TABLE.is_file(), "make it with `make simulate-check`"
    table = published()
    assert {row["machine"] for row in table["rows"]} == set(table["keys"]) == set(MACHINES)
    assert sum(row["runs"] for row in table["rows"]) >= 500
    assert all(row["exact"] == row["runs"] for row in table["rows"])
    for machine in table["keys"]:
        kinds = {row["memory"].partition(",")[0] for row in table["rows"] if row["machine"] == machine}
        assert kinds == {"fixed", "DRAM"}


@pytest.mark.parametrize(
    "machine", [pytest.param(name, marks=() if name in SMALL else pytest.mark.regress) for name in published()["keys"]]
)
def test_the_published_table_is_of_this_machine_and_this_twin(machine):
    """Fails when the RTL changes, or the twin, and the table is not made again."""
    told = published()["keys"][machine]
    assert told == {"rtl": rtl_key(machine), "twin": twin_key(machine)}, "make the table again: make simulate-check"


def test_keys_follow_the_rtl_and_the_twin(monkeypatch, tmp_path):
    name = "accelerator_5x7"
    rtl, twin = rtl_key(name), twin_key(name)
    slower = exactness_table.machine_constants(ACCELERATORS[name]) | {"vector_lane_latency": 18}
    monkeypatch.setattr(exactness_table, "machine_constants", lambda config: slower)
    assert twin_key(name) != twin
    design = exactness_table.accelerator_design(exactness_table.simulated(ACCELERATORS[name]))
    file, text = next(iter(design.sources.items()))
    changed = type(design)(design.top, {**design.sources, file: text + "\n"})
    monkeypatch.setattr(exactness_table, "accelerator_design", lambda config: changed)
    assert rtl_key(name) != rtl


def test_the_page_of_a_table(tmp_path):
    memory = next(iter(cases_of("accelerator_5x7"))).memory
    case = Case((), memory, 3)
    rows = [
        exactness_table.Row("accelerator_5x7", "fixed", 3, 3, 4000, ()),
        exactness_table.Row("accelerator_5x7", "fixed, random stalls", 2, 1, 500, (f"{case}: tiles",)),
    ]
    page = exactness_table.as_markdown(rows)
    assert "4 of 5 runs are exact, over 4,500 cycles of the machines." in page
    assert "| `accelerator_5x7` | 3 of 3 | 1 of 2 | 0 of 0 | 0 of 0 | 4,500 |" in page
    name = {"rtl": "a", "twin": "b"}
    exactness_table.write_table([replace(rows[0], machine="accelerator_8x24")], {"accelerator_8x24": name}, tmp_path)
    exactness_table.write_table(rows, {"accelerator_5x7": name}, tmp_path)
    told = json.loads((tmp_path / "simulator.json").read_text())
    assert set(told["keys"]) == {row["machine"] for row in told["rows"]} == {"accelerator_5x7", "accelerator_8x24"}
    assert "7 of 8 runs are exact" in (tmp_path / "simulator.md").read_text()
    assert "## Not exact" in page and "## Not exact" not in exactness_table.as_markdown(rows[:1])
