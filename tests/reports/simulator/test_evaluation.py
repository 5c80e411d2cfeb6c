"""The paper's evaluation: its own line, Fig. 8, four bars a point, and rivals that are missing are named."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.running.command_line import run_fineq

from fineq_reports.simulator.evaluation import BARS, evaluate, paper_line, power_shares
from fineq_sim.energy.synthesis import read_reports

RESULTS = Path(__file__).parents[3] / "docs" / "results"


def test_the_line_that_explains_the_paper():
    line = paper_line(read_reports(RESULTS), RESULTS)
    assert line.startswith("(88.793 / (32.891 + 0.187)) / 1.5 steps = 1.79")
    assert "1.986 measured steps" in line and "give 1.35" in line
    assert "with 2.66 to 2.86 (3 real models, recipe paper) 0.94 to 1.01" in line


def test_shares_of_figure_8():
    shares = power_shares(read_reports(RESULTS), "64x64", glitches=False)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
    assert shares["accumulators"] == pytest.approx(0.770, abs=5e-4)
    assert shares["processing elements"] == pytest.approx(0.111, abs=5e-4)


@pytest.fixture(scope="module")
def found():
    return evaluate(RESULTS, "16x16", ["smollm2-135m"], [32], engine="tile")


def test_rivals_with_a_report_and_without(found):
    rivals = {each.rival for each in found.points}
    assert rivals == {
        "mac8x3_16x16_broadcast_latch",
        "mac8x8_16x16_broadcast_latch",
        "mac8x3_16x16_broadcast_digits_8_latch",
    }
    assert not found.missing


def test_a_missing_rival_is_named(tmp_path):
    for path in RESULTS.glob("*.*"):
        if path.suffix in (".json", ".csv") and "digits" not in path.name:
            shutil.copy(path, tmp_path)
    found = evaluate(tmp_path, "16x16", ["smollm2-135m"], [32], engine="tile")
    (line,) = found.missing
    assert "mac8x3_16x16_broadcast_digits_8_latch is missing" in line and "fineq synth --size 16x16 --design" in line
    assert len({each.rival for each in found.points}) == 2


def test_bars_go_down_to_what_all_share(found):
    """SRAM and DRAM are alike on both sides, so every one that is added draws the ratio towards them."""
    for each in found.points:
        assert len(each.gains) == len(BARS)
        assert all(gain > 0 for gain in each.gains)
    gains = {(each.ours, each.rival, each.steps): each.gains for each in found.points}
    cluster = gains["fineq_16x16_cluster", "mac8x8_16x16_broadcast_latch", "low"]
    assert cluster[0] > cluster[1] > cluster[2] > cluster[3] > 1


def test_array_only_is_the_ratio_of_the_reports(found):
    """Without waiting, the array's gain is that of the energies a step times the steps."""
    designs = read_reports(RESULTS).designs
    ours, rival = designs["fineq_16x16_cluster_packed"], designs["mac8x3_16x16_broadcast_latch"]
    low = next(
        each
        for each in found.points
        if (each.ours, each.rival, each.steps) == ("fineq_16x16_cluster", "mac8x3_16x16_broadcast_latch", "low")
    )
    assert low.gains[0] == pytest.approx(rival.step_pj / (ours.step_pj * 1.0225), rel=0.08)


def test_the_command(tmp_path):
    outcome = run_fineq("figures", "--size", "16x16", "--model", "smollm2-135m", "--seq", 32, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "paper-evaluation.md",
        "paper-evaluation-figure-8.png",
        "paper-evaluation-figure-9.csv",
        "paper-evaluation-figure-9.png",
    }
    assert "the paper's 1.79 is the ratio" in outcome.stdout
    page = (tmp_path / "out" / "paper-evaluation.md").read_text()
    assert "| paper, 64x64: systolic array | 0.9540 | 88.793 |" in page and "checked exactly: " in page


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--size", "9x9"], "no accelerator of 9x9"),
        (["--size", "5x7"], "has no MAC array of 5x7"),
        (["--results", "/no/such/place"], "--results"),
        (["--model", "gpt-9"], "no model, file or directory 'gpt-9'"),
        (["--seq", "a"], "'a' is no length"),
    ],
)
def test_bad_input(tmp_path, arguments, said):
    outcome = run_fineq("figures", *arguments, "-o", tmp_path / "out")
    assert outcome.code == 1 and said in outcome.stderr and not (tmp_path / "out").exists()


def test_published_page_is_of_these_reports():
    """The page beside the reports says what they say; made again when they change."""
    page = (RESULTS / "paper-evaluation.md").read_text()
    for name in ("synth-64x64.json", "synth-64x64-digits.json"):
        for design in json.loads((RESULTS / name).read_text())["designs"]:
            power = design["power_with_glitches_w"]["total"]["total"] * 1e3
            assert f"(`{design['top']}`) | {design['area_total_um2'] * 1e-6:.4f} |" in page and f"{power:.3f}" in page
