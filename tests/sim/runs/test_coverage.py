"""Coverage data of Verilator: read, added up, reported."""

import re

import pytest

from fineq_hw.export.manifest import Manifest, ModuleEntry
from fineq_sim.runs import coverage
from fineq_sim.runs.catalog import all_runs
from fineq_sim.runs.runner import VerilogDesign
from fineq_sim.runs.simulators import SimulatorError

SOURCE = "module m;\nalways @*\nif (a)\nx = 1;\nelse\nx = 2;\nendmodule\n"


def design(name: str = "fineq_control_unit_5x7_unary", kind: str = "control_unit", text: str = SOURCE) -> VerilogDesign:
    entries = {name: ModuleEntry("Component", kind)}
    return VerilogDesign("dut_packed", {f"{name}.v": text}, Manifest({}, entries))


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
    coverage.add_records(content, design(), modules)
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
    coverage.add_records(data(point(3, "branch", "else", "6", 1)), design(), modules)
    assert not coverage.gaps(modules)
    assert not coverage.below_bar(modules)
    assert "Every line was reached." in coverage.markdown(modules, "make coverage")


def test_tops_of_testbenches_with_one_name_stay_apart():
    modules: dict[str, coverage.ModuleCoverage] = {}
    for text in ("a\nb\n", "c\nd\n"):
        content = data(point(1, "line", "block", "1", 1)).replace("fineq_control_unit_5x7_unary", "dut_packed")
        coverage.add_records(content, design("dut_packed", "packed_core", text), modules)
    assert len(modules) == 2
    assert coverage.by_component(modules) == {"packed_core": (2, 2, 0, 0)}


def test_the_component_decides_and_not_the_name():
    modules: dict[str, coverage.ModuleCoverage] = {}
    content = data(point(2, "line", "block", "2", 1)).replace("fineq_control_unit_5x7_unary", "fineq_2s_odd")
    coverage.add_records(content, design("fineq_2s_odd", "temporal_encoder"), modules)
    assert coverage.by_component(modules) == {"temporal_encoder": (1, 1, 0, 0)}


def test_a_module_that_the_manifest_does_not_know_is_refused():
    unknown = VerilogDesign("dut_packed", {"fineq_control_unit_5x7_unary.v": SOURCE})
    with pytest.raises(SimulatorError, match="does not say what module fineq_control_unit_5x7_unary is"):
        coverage.add_records(data(point(2, "line", "block", "2", 1)), unknown, {})


def test_large_runs_are_those_on_large_arrays():
    large = {run.name for run in all_runs() if run.large}
    assert {"processing_array/fineq_16x16", "csr/mac8x8_accelerator_64x64"} <= large
    assert {"adder_tree/mixed_behavioural", "accumulator/fineq_5x7_behavioural"} <= large
    assert not {"adder_tree/row_64x8_structural", "temporal/fineq_8x24", "driver/accelerator_8x24"} & large


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "coverage.dat does not start as Verilator's coverage data do: was it cut off?"),
        (data("C 'cut"), 'coverage.dat has a line that is no coverage point: "C \'cut"'),
    ],
)
def test_damaged_data_are_refused(content, error):
    with pytest.raises(SimulatorError, match=re.escape(error)):
        coverage.add_records(content, design(), {})
