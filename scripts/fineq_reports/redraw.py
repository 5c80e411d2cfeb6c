"""Draws pictures of docs/results again from the data beside them: drawing is a step apart from measuring."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fineq.common.errors import FineqError
from fineq.common.files import write_bytes

WITHOUT_DATA = {
    "accuracy-figure-3b": "needs the weights of its models: `fineq figure 3b`",
    "architecture-blocks": "is read from the Verilog: `fineq architecture`",
    "architecture-timing": "is a recorded run: `fineq architecture`",
    "exploration": "its table has not the machines that one knows: `fineq explore`",
    "fpga-icebreaker": "needs builds: `fineq fpga-table`",
    "layout": "needs the routed layouts: `make pnr`",
}
"""Pictures whose data do not stand in a table, by the begin of their names, and how they are made."""


def _accuracy(name: str, results: Path) -> bytes:
    from matplotlib.figure import Figure

    from fineq.evaluation.methods import find_method
    from fineq_reports.accuracy import pictures
    from fineq_reports.accuracy.cells import Cell
    from fineq_reports.accuracy.perplexities import Results
    from fineq_reports.accuracy.tables import drawn

    with (results / f"accuracy-{name}.csv").open(newline="", encoding="utf-8") as stream:
        cells = [
            Cell(
                row["model"],
                find_method(row["method"]),
                row["text"],
                int(row["sequence_length"]),
                float(row["bits_per_weight"]) if row["bits_per_weight"] else None,
                float(row["nll"]),
                float(row["perplexity"]),
                dict(row),
            )
            for row in csv.DictReader(stream)
        ]
    draw: Callable[[Figure, Results], None] = getattr(pictures, f"draw_{name.replace('-', '_')}")
    return drawn(lambda figure: draw(figure, Results(cells)))


def _encodings(results: Path) -> bytes:
    from fineq_reports.accuracy.encodings import read_points
    from fineq_reports.accuracy.encodings_picture import draw
    from fineq_reports.accuracy.tables import drawn

    points = read_points((results / "encodings.csv").read_text(encoding="utf-8"))
    return drawn(lambda figure: draw(figure, points))


def _throughput(results: Path) -> bytes:
    from fineq_reports.machine.throughput import first_runs, picture_png

    return picture_png(first_runs(json.loads((results / "throughput.json").read_text(encoding="utf-8"))))


def _figure_8(results: Path) -> bytes:
    from fineq_reports.simulator.evaluation import power_shares
    from fineq_reports.simulator.evaluation_pictures import figure_8
    from fineq_sim.energy.synthesis import read_reports

    reports = read_reports(results)
    return figure_8(*(power_shares(reports, "64x64", glitches) for glitches in (False, True)))


def _figure_9(results: Path) -> bytes:
    from fineq_reports.simulator.evaluation_page import read_points
    from fineq_reports.simulator.evaluation_pictures import figure_9

    return figure_9(read_points((results / "paper-evaluation-figure-9.csv").read_text(encoding="utf-8")))


def _synthesis(name: str, results: Path) -> bytes:
    from fineq_reports.synthesis.picture import picture, read_report

    return picture(read_report(results / f"{name}.json"))


def _overview(results: Path) -> bytes:
    from fineq_reports.architecture.overview import overview

    return overview()


PICTURES: dict[str, Callable[[Path], bytes]] = {
    "overview": _overview,
    **{f"accuracy-{name}": partial(_accuracy, name) for name in ("table-1", "table-2", "figure-1")},
    "encodings": _encodings,
    "paper-evaluation-figure-8": _figure_8,
    "paper-evaluation-figure-9": _figure_9,
    **{name: partial(_synthesis, name) for name in ("synth-16x16", "synth-64x64")},
    **{f"{name}-digits": partial(_synthesis, f"{name}-digits") for name in ("synth-16x16", "synth-64x64")},
    "throughput": _throughput,
}
"""What can be drawn again, and what draws it from the directory of results."""


def redraw(name: str, results: Path, output: Path) -> Path:
    """Write a picture again.

    Raises:
        FineqError: there is no such picture, or its data are not there.
    """
    if name not in PICTURES:
        why = next((f"{name} {why}" for begin, why in WITHOUT_DATA.items() if name.startswith(begin)), None)
        raise FineqError(why or f"there is no picture {name!r}: choose one of {', '.join(PICTURES)}")
    try:
        content = PICTURES[name](results)
    except FileNotFoundError as error:
        raise FineqError(f"{error.filename} is not there: give the directory of measurements with --results") from None
    return write_bytes(output / f"{name}.png", content)
