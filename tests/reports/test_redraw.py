"""Pictures of docs/results are what `fineq redraw` makes of the data beside them."""

import io
from pathlib import Path

import numpy as np
import pytest
from helpers.running.command_line import run_fineq
from PIL import Image

from fineq.common.errors import FineqError
from fineq_reports.accuracy.pictures import paper_column
from fineq_reports.redraw import PICTURES, WITHOUT_DATA, redraw

RESULTS = Path(__file__).parents[2] / "docs/results"


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"), dtype=float)


@pytest.mark.parametrize("name", PICTURES)
def test_published_pictures_show_the_published_data(name):
    """Up to what another processor makes of a floating-point number at the edge of a pixel."""
    published, drawn = (RESULTS / f"{name}.png").read_bytes(), PICTURES[name](RESULTS)
    first, second = pixels(published), pixels(drawn)
    assert first.shape == second.shape
    assert np.abs(first - second).mean() < 0.05


def test_every_picture_can_be_drawn_again_or_says_why_not():
    names = [file.stem for file in RESULTS.glob("*.png")]
    assert [name for name in names if name not in PICTURES and not name.startswith(tuple(WITHOUT_DATA))] == []


def test_the_paper_stands_beside_what_is_measured_on_its_text():
    assert paper_column("f77c6334eb6d41baf208a315eb82af869edadb2e9aa60b767c706a35c0a0ad67") == "7B Wiki"
    assert paper_column("72238ca321353f1fd552592ea183fe08af16664308b5dae6d0b7b28309717f76") is None


def test_the_command_draws_what_is_named(tmp_path):
    outcome = run_fineq("redraw", "throughput", "-o", tmp_path)
    assert (outcome.code, outcome.stdout) == (0, f"wrote {tmp_path / 'throughput.png'}\n")


def test_what_cannot_be_drawn_is_said(tmp_path):
    with pytest.raises(FineqError, match="needs the routed layouts: `make pnr`"):
        redraw("layout-decoder-64", RESULTS, tmp_path)
    with pytest.raises(FineqError, match="there is no picture 'none': choose one of overview, "):
        redraw("none", RESULTS, tmp_path)
    with pytest.raises(FineqError, match="throughput.json is not there: give the directory"):
        redraw("throughput", tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []
