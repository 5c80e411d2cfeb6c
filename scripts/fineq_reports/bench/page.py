"""The benchmark's page."""

from __future__ import annotations

from fineq.common import markdown
from fineq_reports.bench.records import Report


def as_markdown(report: Report) -> str:
    """The report as a Markdown page."""
    settings = report.settings
    lines = [
        "# Speed and memory",
        "",
        "Made by `make bench`. The ratios are the result; times and rates belong to the machine below and to what "
        "else it did. On a busy machine whatever takes longer is interrupted more, so the ratio of the times comes out "
        "too high; the ratio of the CPU times, of all threads together, does not suffer from that.",
        "",
        f"Matrix {settings['rows']} x {settings['columns']}, float16; {settings['threads']} threads; "
        f"{settings['rounds']} rounds in turn; medians, quartiles of the ratio in brackets.",
        "",
        *(f"* {name}: {value}" for name, value in report.machine.items()),
    ]
    for table in report.tables:
        lines += ["", f"## {table.title}", "", f"Ratio to: {table.baseline}.", ""]
        rows = []
        for row in table.rows:
            spread = f" ({row.quartiles[0]:.2f} to {row.quartiles[1]:.2f})" if row.case != table.baseline else ""
            times = f"{1e3 * row.seconds:.2f}", f"{1e3 * row.cpu_seconds:.2f}", f"{row.rate:.3g}"
            rows.append((row.case, *times, f"{row.ratio:.2f}{spread}", f"{row.cpu_ratio:.2f}", row.verdict))
        headers = ("Case", "Time, ms", "CPU time, ms", "Weights per second", "Ratio", "CPU ratio", "Bar")
        lines.append(markdown.table(headers, rows, "lrrrrrl").rstrip())
    lines += ["", "## Peak memory", "", "Beyond what the process had before, its result included.", ""]
    peaks = []
    for peak in report.peaks:
        measured = "not known" if peak.megabytes is None else f"{peak.megabytes:.1f}"
        peaks.append((peak.step, measured, peak.compared_with, f"{peak.comparison_megabytes:.1f}"))
    lines.append(markdown.table(("Step", "Peak, MB", "Compared with", "MB"), peaks, "lrlr").rstrip())
    lines += [f"\n{note}" for note in report.notes]
    return "\n".join(lines) + "\n"
