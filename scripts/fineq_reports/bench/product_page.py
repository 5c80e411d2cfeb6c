"""The page of the products."""

from __future__ import annotations

from fineq.common import markdown
from fineq_reports.bench.products import ProductReport


def as_markdown(report: ProductReport) -> str:
    """The report as a Markdown page."""
    settings = report.settings
    lines = [
        "# Products with packed weights",
        "",
        "Made by `fineq bench --only products`. CPU time of all threads, by the median over the rounds; the ratio is "
        "taken within a round, to the first case of the table, and is the result. Times belong to the machine below.",
        "",
        f"{settings['threads']} thread{'s' * (settings['threads'] > 1)}; {settings['rounds']} rounds in turn, whole "
        "models a third of that.",
        "",
        *(f"* {name}: {value}" for name, value in report.machine.items()),
    ]
    if report.goals:
        lines += ["", "## Goals", "", "CPU time as a multiple of that of the other case, at most.", ""]
        judged = [
            (g.table, g.case, g.other, f"{g.limit:.2f}", f"{g.measured:.2f}", g.verdict) for g in report.goals
        ]  # fmt: skip
        lines.append(markdown.table(("Table", "Case", "Beside", "Goal", "Measured", ""), judged, "lllrrl").rstrip())
    for table in report.tables:
        per = "Tokens per CPU second" if table.title.startswith("SmolLM2") else ""
        lines += ["", f"## {table.title}", ""]
        headers = ["Case", "CPU time, ms", "Times the first"] + [per] * bool(per)
        rows: list[tuple[str, ...]] = []
        for row in table.rows:
            cells = [row.case, f"{1e3 * row.cpu_seconds:.3g}", f"{row.cpu_ratio:.3g}"]
            rows.append(tuple(cells + [f"{row.rate * row.seconds / row.cpu_seconds:.1f}"] * bool(per)))
        lines.append(markdown.table(tuple(headers), rows, "lrr" + "r" * bool(per)).rstrip())
    lines += [f"\n{note}" for note in report.notes]
    return "\n".join(lines) + "\n"
