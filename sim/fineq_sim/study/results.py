"""Where the measurements lie that a study builds on: docs/results of the repository, or a directory of the user."""

from __future__ import annotations

from pathlib import Path

from fineq.common.errors import FineqError

PLACE = Path("docs") / "results"


class MissingResults(FineqError):
    """Measurements that are not there; the text names the command that makes them."""


def results_directory(given: Path | None = None) -> Path:
    """The directory.

    Args:
        given: by the user; None: that of the working directory or of the clone that the code lies in.

    Raises:
        MissingResults: there is none.
    """
    places = [given] if given else [Path.cwd() / PLACE, Path(__file__).resolve().parents[3] / PLACE]
    for place in places:
        if place.is_dir():
            return place
    raise MissingResults(
        f"there is no directory {places[0]} with measurements: name one with --results, such as {PLACE} of a clone, or "
        "make them with `make ppa` and `fineq encodings`"
    )
