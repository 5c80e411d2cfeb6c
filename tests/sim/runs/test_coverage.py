"""Coverage data of Verilator: read, added up, reported."""

import re

import pytest

from fineq_sim.runs import coverage
from fineq_sim.runs.simulators import SimulatorError

SOURCES = {"fineq_control_unit_5x7_unary.v": "module m;\nalways @*\nif (a)\nx = 1;\nelse\nx = 2;\nendmodule\n"}


def point(line: int, kind: str, side: str, lines: str, count: int) -> str:
    keys = {
        "f": "some/where/fineq_control_unit_5x7_unary.v",
        "l": str(line),
        "n": "3",
        "t": kind,
        "o": side,
        "S": lines,
    }
    return "C '" + "".join(f"\x01{key}\x02{value}" for key, value in keys.items()) + f"' {count}"


def data(*points: str) -> str:
    return "\n".join(["# SystemC::Coverage-3", *points]) + "\n"


def measured(then: int, otherwise: int) -> dict[str, coverage.ModuleCoverage]:
    modules: dict[str, coverage.ModuleCoverage] = {}
    content = data(
        point(2, "line", "block", "2-3", then + otherwise),
        point(3, "branch", "if", "4", then),
        point(3, "branch", "else", "6", otherwise),
    )
    coverage.add_records(content, SOURCES, modules)
    return modules


def test_unreached_lines_are_gaps_with_their_source():
    modules = measured(5, 0)
    assert coverage.by_component(modules) == {"control_unit": (3, 4, 1, 2)}
    assert coverage.gaps(modules) == [coverage.Gap("fineq_control_unit_5x7_unary", 6, "x = 2;", None)]
    assert coverage.below_bar(modules) == ["control_unit: 3 of 4 lines reached, 75.0 %"]
    text = coverage.markdown(modules, "make coverage")
    assert "| control_unit | 1 | 3 | 4 | 75.0 % | 1 of 2 | 50.0 % |" in text
    assert "| fineq_control_unit_5x7_unary | 6 | `x = 2;` | not explained |" in text


@pytest.mark.parametrize(("part", "explanation"), [("control_unit", "no step"), ("csr", None)])
def test_a_gap_is_explained_in_its_component_only(monkeypatch, part, explanation):
    monkeypatch.setattr(coverage, "EXPLANATIONS", ((part, r"x = \d", "no step"), (part, "y", "another")))
    modules = measured(5, 0)
    assert [gap.explanation for gap in coverage.gaps(modules)] == [explanation]
    assert f"`x = 2;` | {explanation or 'not explained'} |" in coverage.markdown(modules, "make coverage")


def test_runs_add_up():
    modules = measured(5, 0)
    coverage.add_records(data(point(3, "branch", "else", "6", 1)), SOURCES, modules)
    assert not coverage.gaps(modules)
    assert not coverage.below_bar(modules)
    assert "Every line was reached." in coverage.markdown(modules, "make coverage")


def test_tops_of_testbenches_with_one_name_stay_apart():
    modules: dict[str, coverage.ModuleCoverage] = {}
    for text in ("a\nb\n", "c\nd\n"):
        content = data(point(1, "line", "block", "1", 1)).replace("fineq_control_unit_5x7_unary", "dut_packed")
        coverage.add_records(content, {"dut_packed.v": text}, modules)
    assert len(modules) == 2
    assert coverage.by_component(modules) == {"packed": (2, 2, 0, 0)}


@pytest.mark.parametrize(
    ("module", "component"),
    [
        ("fineq_control_unit_5x7_unary", "control_unit"),
        ("fineq_accumulator_7x8_24_row_behavioural", "accumulator"),
        ("fineq_processing_element_8_row", "processing_element"),
        ("fineq_temporal_encoder_unary_column", "temporal_encoder"),
        ("fineq_decoder", "decoder"),
        ("dut_packed~0123abcd", "packed"),
    ],
)
def test_component_names(module, component):
    assert coverage.component_of(module) == component


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "coverage.dat does not start as Verilator's coverage data do: was it cut off?"),
        (data("C 'cut"), 'coverage.dat has a line that is no coverage point: "C \'cut"'),
    ],
)
def test_damaged_data_are_refused(content, error):
    with pytest.raises(SimulatorError, match=re.escape(error)):
        coverage.add_records(content, SOURCES, {})
