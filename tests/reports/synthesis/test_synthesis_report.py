"""Tables and picture of a synthesis run, from results made up so that the figures can be followed by hand."""

import hashlib
import json
from pathlib import Path

import pytest

from fineq_asic.errors import SynthesisError
from fineq_asic.flows.results import DataCycles, GlitchShare, Result, SynthesisRun
from fineq_asic.mapping.designs import designs_of
from fineq_asic.power.liberty_power import Power
from fineq_asic.timing.opensta import TimingReport
from fineq_reports.synthesis import picture, report

RESULTS = Path(__file__).parents[3] / "docs" / "results"


def result(top: str, area: float, watts: float, cycles: float, slack: float = 0.5) -> Result:
    """A design whose power is all in one block, and half as large again with glitches."""
    block = "processing elements"
    power = Power(watts / 2, watts / 4, watts / 4)
    glitches = GlitchShare({block: Power(1.5, 1.5, 1.5)}, 0.25, 1.5, 8)
    timing = TimingReport(2.5, slack, 0.1, ("from", "to"))
    [design] = [design for design in designs_of("5x7") if design.top == top]
    areas = {block: area} | ({"decoders": area / 10} if design.packed else {})
    return Result(design, 10, 5, areas, timing, "area", {block: power}, power, glitches, cycles, 100)


@pytest.fixture
def run():
    results = [result("fineq_5x7_column_packed", 3500, 0.001, 2.0), result("mac8x3_5x7", 7000, 0.004, 1.0, -0.25)]
    cycles = {"Gaussian rows": DataCycles("", "paper", {"unary": 2.0})}
    return SynthesisRun("5x7", 2.5, {"a|b": "1"}, "made up", "fineq synth --size 5x7", results, cycles)


def row(page: str, heading: str, first: str) -> list[str]:
    """Cells behind the first of a row below a heading."""
    lines = page[page.index(heading) :].splitlines()
    return next(
        [cell.strip() for cell in line[1:-1].split(" |")][1:] for line in lines if line.startswith(f"| {first}")
    )


def test_figures_follow_from_the_results(run):
    page = report.markdown(run)
    array = row(page, "## Comparison", "FineQ")
    # 3850 µm² on 35 elements; 1 mW for 2 cycles of 2.5 ns on 35 elements are 0.1429 pJ.
    assert array[:4] == ["3850", "110.0", "10.00 %", "+0.500"]
    assert array[5:] == ["1.00", "1.50", "2.000", "220.0", "0.1429", "0.2143"]
    ratios = row(page, "## Against the smallest 3-bit MAC array", "FineQ")
    assert ratios == ["-45.0 %", "-50.0 %", "-75.0 %", "-75.0 %", "-75.0 %", "0.91x", "2.00x", "2.00x"]
    assert row(page, "## µm² x cycles per MAC", "Gaussian rows") == ["220.0", "200.0"]
    assert row(page, "## Glitches", "FineQ") == ["+25.0 %", "+50.0 %", "1.500", "8"]
    assert "- MAC 8x3, systolic weights, flip-flops: a clock of 2.5 ns is missed by 0.250 ns from from to to\n" in page
    assert page.endswith("## Tools\n\n| tool | version |\n|---|---:|\n| a\\|b | 1 |\n")


def test_files_appear_whole_or_not_at_all(run, tmp_path, monkeypatch):
    paths = report.write_report(run, tmp_path)
    assert [path.name for path in paths] == ["synth-5x7.md", "synth-5x7.json", "synth-5x7.png"]
    before = {path: path.read_bytes() for path in paths}
    assert report.redraw(paths[1], tmp_path / "again").read_bytes() == before[paths[2]]

    def broken(document, path):
        path.write_bytes(b"half a picture")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "write_picture", broken)
    with pytest.raises(SynthesisError, match="cannot write the picture to .*: No space left on device"):
        report.redraw(paths[1], tmp_path)
    with pytest.raises(SynthesisError, match="cannot write the report to .*: No space left on device"):
        report.write_report(run, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("size", ["16x16", "64x64"])
def test_published_pictures_are_those_of_their_figures(size, tmp_path):
    drawn = report.redraw(RESULTS / f"synth-{size}.json", tmp_path)
    assert hashlib.sha256(drawn.read_bytes()).digest() == hashlib.sha256((RESULTS / drawn.name).read_bytes()).digest()


def test_energy_is_that_of_the_blocks(run):
    document = json.loads(report.as_json(run))
    area, power, energy = picture.panels(document, document["designs"])
    assert area.totals() == pytest.approx([110.0, 200.0]) and power.totals() == pytest.approx([1.5, 6.0])
    assert energy.totals() == pytest.approx([0.2143, 0.4286], abs=1e-4)
