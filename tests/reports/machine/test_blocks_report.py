"""The report of the logic around the array."""

from pathlib import Path
from typing import NamedTuple

from fineq.common.provenance import unmarked
from fineq_asic.flows.machine_blocks import BlockFigures, BlocksReport
from fineq_asic.flows.stand_ins import MemoryArray
from fineq_reports.machine.blocks_report import as_markdown, write_report

PUBLISHED = unmarked((Path(__file__).parents[3] / "docs/results/accelerator-blocks.md").read_text())


class Timing(NamedTuple):
    text: str

    def verdict(self) -> str:
        return self.text


def published() -> BlocksReport:
    """The report that the published page was made of, read back from it."""
    rows = [[cell.strip() for cell in line[2:-1].split("|")] for line in PUBLISHED.splitlines() if line[:2] == "| "]
    number = lambda text: float(text.replace(",", ""))  # noqa: E731
    blocks = [
        BlockFigures(name.strip("`"), int(count), int(number(cells)), number(area) / int(count), float(slack))
        for name, count, cells, _, area, slack in (row for row in rows if len(row) == 6)
        if count.isdigit()
    ]
    memories = [
        MemoryArray(block.strip("`"), name, int(words), int(bits))
        for name, block, words, bits, _ in (row for row in rows if len(row) == 5)
        if words.isdigit()
    ]
    timing = Timing(PUBLISHED.partition("At the top, ")[2].partition(".\n")[0])
    return BlocksReport("accelerator_64x64", None, 2.5, timing, tuple(blocks), tuple(memories))


def test_the_published_page_is_that_of_its_figures(tmp_path):
    report = published()
    assert len(report.blocks) == 15 and len(report.memories) == 23
    assert write_report(report, tmp_path).read_text() == PUBLISHED


def test_the_command_says_what_differs_from_the_usual():
    report = BlocksReport("accelerator_5x7", "core", 2.0, Timing("met"), published().blocks[:1], ())
    page = as_markdown(report)
    assert "Made by `fineq accelerator-blocks --accelerator accelerator_5x7 --block core --clock-ns 2`:" in page
    assert page.endswith("| together |  | 98,600 |  | 181,821 |  |\n")
