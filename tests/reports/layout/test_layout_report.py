"""Pages of layouts: the published ones come out of their figures again, byte for byte; verdicts; what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import klayout.db as kdb
import pytest

from fineq.common.provenance import unmarked
from fineq_asic.layout.results import CATEGORIES
from fineq_asic.layout.routed import BorderPin, PlacedCell, RoutedBlock
from fineq_reports.layout.picture import draw_layout
from fineq_reports.layout.report import read_layout_report, write_layout_report, write_summary

RESULTS = Path(__file__).parents[3] / "docs" / "results"
PUBLISHED = sorted(RESULTS.glob("layout-*.json"))


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda path: path.stem)
def test_published_pages_are_those_of_their_figures(published, tmp_path):
    document = json.loads(published.read_text())
    result = read_layout_report(published)
    markdown, figures, picture = write_layout_report(result, document["tools"], document["notes"], tmp_path)
    assert markdown.read_bytes() == unmarked(published.with_suffix(".md").read_bytes().decode()).encode()
    assert figures.read_bytes() == published.read_bytes()
    assert picture.name == published.with_suffix(".png").name and picture.parent == tmp_path


def test_the_published_summary_is_that_of_the_published_layouts(tmp_path):
    published = unmarked((RESULTS / "layout-summary.md").read_text())
    order = [line.split("(layout-")[1].split(".md")[0] for line in published.splitlines() if line.startswith("| [")]
    results = [read_layout_report(RESULTS / f"layout-{name}.json") for name in order]
    assert write_summary(results, tmp_path).read_text() == published
    assert len(order) == len(PUBLISHED)


def test_a_missed_clock_is_told(tmp_path):
    result = read_layout_report(PUBLISHED[0])
    late = replace(result, setup_slack_ns=-0.25, hold_slack_ns=-0.125)
    page = write_layout_report(late, {}, [], tmp_path)[0].read_text()
    assert "| timing at 2.5 ns | setup missed by 0.250 ns, hold missed by 0.125 ns |" in page
    assert "missed" not in write_layout_report(result, {}, [], tmp_path)[0].read_text()
    page = write_layout_report(replace(result, activity=""), {}, [], tmp_path)[0].read_text()
    assert "Activity: none recorded, defaults of the tool;" in page


def small_block() -> RoutedBlock:
    cells = (PlacedCell("a", "INV_X1", (1.0, 1.0, 2.0, 2.4)), PlacedCell("b", "FILL", (2.0, 1.0, 4.0, 2.4)))
    wires = {"metal2": [(1.0, 1.0, 1.1, 3.0)]}
    outline = (0.0, 0.0, 5.0, 4.0)
    pins = (BorderPin("x", "metal3", 0.0, 2.0),)
    return RoutedBlock(outline, outline, cells, pins, wires, {}, {}, 1, {}, kdb.Layout())


def test_pictures_are_the_same_bytes_and_whole(tmp_path):
    block, path = small_block(), tmp_path / "block.png"
    draw_layout(block, "block", {"a": CATEGORIES[0], "b": CATEGORIES[-1]}, path)
    first = path.read_bytes()
    draw_layout(block, "block", {"a": CATEGORIES[0], "b": CATEGORIES[-1]}, path)
    assert path.read_bytes() == first and first[:4] == b"\x89PNG"
    with pytest.raises(KeyError, match="unheard of"):  # a category without a colour
        draw_layout(block, "block", {"a": "unheard of", "b": CATEGORIES[0]}, path)
    assert path.read_bytes() == first and [file.name for file in tmp_path.iterdir()] == ["block.png"]
