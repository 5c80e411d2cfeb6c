"""The page and pictures of the paper's evaluation."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from fineq.common import markdown
from fineq.common.files import write_bytes, write_text
from fineq_reports.simulator.evaluation import (
    BARS,
    PAPER_SHARES,
    Evaluation,
    Point,
    power_shares,
    table_iii,
)
from fineq_reports.simulator.evaluation_pictures import figure_8, figure_9
from fineq_sim.energy.dram import PUBLISHED

NAME = "paper-evaluation"


def write_evaluation(found: Evaluation, command: str, directory: Path) -> list[Path]:
    """Write page, table and pictures."""
    plain, full = (power_shares(found.reports, found.size, glitches) for glitches in (False, True))
    return [
        write_text(directory / f"{NAME}.md", page(found, command)),
        write_text(directory / f"{NAME}-figure-9.csv", points_csv(found.points)),
        write_bytes(directory / f"{NAME}-figure-8.png", figure_8(plain, full)),
        write_bytes(directory / f"{NAME}-figure-9.png", figure_9(found.points)),
    ]


def read_points(text: str) -> list[Point]:
    """What `points_csv` has written."""
    found = []
    for row in csv.DictReader(io.StringIO(text)):
        gains = tuple(float(row[bar]) for bar in BARS)
        seconds = float(row["seconds_ours"]), float(row["seconds_rival"])
        names = (row["ours"], row["rival"], row["model"], int(row["sequence"]), row["steps"])
        found.append(Point(*names, gains, seconds, float(row["time_x_area"])))
    return found


def points_csv(points: Sequence[Point]) -> str:
    """All bars of Fig. 9."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["ours", "rival", "model", "sequence", "steps", *BARS, "seconds_ours", "seconds_rival", "time_x_area"]
    )
    for each in points:
        numbers = [*each.gains, *each.seconds, each.time_area]
        names = [each.ours, each.rival, each.model, each.sequence, each.steps]
        writer.writerow([*names, *(f"{number:.5g}" for number in numbers)])
    return text.getvalue()


def page(found: Evaluation, command: str) -> str:
    """The page."""
    dram = "; ".join(f"{each.picojoules_per_bit} pJ/bit ({each.source})" for each in PUBLISHED)
    parts = [
        "# The paper's evaluation with this project's machine",
        "",
        f"Made by `{command}` from the synthesis reports beside this page and the [cycle-level simulator]"
        "(../hardware/simulator.md). Figures of the paper are marked as the paper's; everything else is ours.",
        "",
        *(f"**{each}.** So the figures below are without this rival.\n" for each in found.missing),
        "## What the paper's 1.79 is",
        "",
        found.paper_line,
        "",
        "## Table III",
        "",
        "400 MHz, 45 nm, arrays with their decoders. Powers of the paper are those that it states; of ours, at full "
        "activity, without and with glitches.",
        "",
        _table_iii(found),
        "## Fig. 8: where the PE array's power goes",
        "",
        f"![shares of the power]({NAME}-figure-8.png)",
        "",
        _figure_8_table(found),
        "## Fig. 9: energy efficiency on language models",
        "",
        f"![gains]({NAME}-figure-9.png)",
        "",
        "Multiply-accumulates per energy, FineQ over the MAC array of the same size in the same machine, on the same "
        "bus: equal array and equal bandwidth. Linear layers of a prefill, as the paper counts. "
        f"{found.source[0].upper()}{found.source[1:]}; both ends are shown. DRAM: {dram}. MAC arrays wait as if "
        "results were in the way, when their pipeline stands still, and not as if weights were missing, and have "
        "latches where `fineq_64x64` has flip-flops, as the paper's: both favour them. `time`: FineQ's over the MAC "
        "machine's. `time x area`: the same at equal area of array and SRAM, below 1 where FineQ is ahead.",
        "",
        _figure_9_table(found.points),
        f"Not measured, so in none of these: {'; '.join(found.not_measured)}.",
        "",
        "## How far the cycles are checked",
        "",
        *(f"* {each}" for each in found.checks),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _table_iii(found: Evaluation) -> str:
    rows = [
        (
            name,
            f"{area:.4f}",
            f"{power:.3f}",
            "" if glitches is None else f"{glitches:.3f}",
            "" if steps is None else f"{steps:.3f}",
        )
        for name, area, power, glitches, steps in table_iii(found.reports, found.size)
    ]
    return markdown.table(("design", "mm²", "mW", "mW with glitches", "steps per vector"), rows, "lr")


def _figure_8_table(found: Evaluation) -> str:
    plain, full = (power_shares(found.reports, found.size, glitches) for glitches in (False, True))
    rows = [
        (block, f"{PAPER_SHARES[block]:.1%}" if block in PAPER_SHARES else "", f"{share:.1%}", f"{full[block]:.1%}")
        for block, share in plain.items()
    ]
    return markdown.table(("block", "paper", "ours", "ours with glitches"), rows, "lr")


def _figure_9_table(points: Sequence[Point]) -> str:
    groups: dict[tuple[str, str, str, int], list[Point]] = {}
    for each in points:
        groups.setdefault((each.ours, each.rival, each.model, each.sequence), []).append(each)
    rows = []
    for (ours, rival, model, sequence), ends in groups.items():
        gains = [_ends([end.gains[bar] for end in ends]) for bar in range(len(BARS))]
        times = _ends([end.seconds[0] / end.seconds[1] for end in ends])
        rows.append((f"`{ours}`", f"`{rival}`", model, sequence, *gains, times, _ends([end.time_area for end in ends])))
    headers = ("ours", "rival", "model", "tokens", *BARS, "time", "time x area")
    return markdown.table(headers, rows, "lllr")


def _ends(values: Sequence[float]) -> str:
    texts = list(dict.fromkeys(f"{value:.2f}" for value in sorted(values)))
    return " to ".join(texts)
