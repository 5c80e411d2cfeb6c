"""The benchmark's page."""

from __future__ import annotations

from fineq.common import markdown
from fineq_reports.bench.records import Report

_HOW = (
    "The ratios are the result; times and rates belong to the machine below and to what else it did. On a busy machine "
    "whatever takes longer is interrupted more, so the ratio of the times comes out too high; the ratio of the CPU "
    "times, of all threads together, does not suffer from that."
)


def as_markdown(report: Report) -> str:
    """The report as a Markdown page."""
    settings = report.settings
    lines = [
        "# Speed and memory",
        "",
        f"Made by `make bench`. {_HOW}",
        "",
        f"Matrix {settings['rows']} x {settings['columns']}, float16; {settings['threads']} threads; "
        f"{settings['rounds']} rounds in turn; medians, quartiles of the ratio in brackets.",
        "",
        *(f"* {name}: {value}" for name, value in report.machine.items()),
        *_tables(report, "Weights per second"),
    ]
    lines += ["", "## Peak memory", "", "Beyond what the process had before, its result included.", ""]
    return "\n".join([*lines, *_peaks_and_notes(report)]) + "\n"


def simulators_markdown(report: Report) -> str:
    """The report of the simulators as a Markdown page."""
    lines = [
        "# Simulators beside one another",
        "",
        f"Command: `fineq bench --only simulators --scale-sim PYTHON`. {_HOW}",
        "",
        *(f"* {name}: {value}" for name, value in report.machine.items()),
        *_tables(report, "MACs per second"),
    ]
    lines += ["", "## Peak memory", "", "Of the whole program.", ""]
    return "\n".join([*lines, *_peaks_and_notes(report)]) + "\n"


def _tables(report: Report, rate: str) -> list[str]:
    lines = []
    for table in report.tables:
        lines += ["", f"## {table.title}", "", f"Ratio to: {table.baseline}.", ""]
        rows = []
        for row in table.rows:
            spread = f" ({row.quartiles[0]:.2f} to {row.quartiles[1]:.2f})" if row.case != table.baseline else ""
            times = f"{1e3 * row.seconds:.2f}", f"{1e3 * row.cpu_seconds:.2f}", f"{row.rate:.3g}"
            rows.append((row.case, *times, f"{row.ratio:.2f}{spread}", f"{row.cpu_ratio:.2f}", row.verdict))
        headers = ("Case", "Time, ms", "CPU time, ms", rate, "Ratio", "CPU ratio", "Bar")
        lines.append(markdown.table(headers, rows, "lrrrrrl").rstrip())
    return lines


def _peaks_and_notes(report: Report) -> list[str]:
    peaks = []
    for peak in report.peaks:
        measured = "not known" if peak.megabytes is None else f"{peak.megabytes:.1f}"
        peaks.append((peak.step, measured, peak.compared_with, f"{peak.comparison_megabytes:.1f}"))
    table = markdown.table(("Step", "Peak, MB", "Compared with", "MB"), peaks, "lrlr").rstrip()
    return [table, *(f"\n{note}" for note in report.notes)]
