"""What is told before a run begins: how long it takes and in how much memory."""

from itertools import count

import pytest
import torch
from helpers.models.tiny_models import make_model

from fineq.blockwise import duration, open_calibration
from fineq.calibrated import find_calibrated_recipe
from fineq.checkpoint.planning import Options, make_plan
from fineq.checkpoint.source import open_source

TOKENS = torch.randint(3, 29, (4000,), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def opened(tmp_path, monkeypatch):
    monkeypatch.setattr(duration, "multiplications_per_second", lambda: 1e9)
    source = open_source(make_model("llama", tmp_path / "model"))
    plan, numbers = make_plan(source, Options("calibrated"), "row"), count()

    def open_with(windows, recipe="calibrated"):
        journal = tmp_path / f"journal-{next(numbers)}"
        return open_calibration(source, plan, find_calibrated_recipe(recipe), TOKENS, journal, False, windows)

    return open_with


def test_seconds_by_hand(opened):
    """Two blocks of a LLaMA: four square-like layers with 48 inputs, gate and up, and down with 80."""
    weights = 48 * 48 + 2 * 24 * 48 + 48 * 48 + 2 * 80 * 48 + 48 * 80
    solver = (48 + 2 * 24 + 48 + 2 * 80) * 48**3 / 48 * duration.SOLVER_SECONDS + 48 * 80**2 * duration.SOLVER_SECONDS
    fixed = 2 * (solver + duration.PREPARATION_SECONDS * (48**3 + 80**3))
    tokens = 2 * 64
    passes = 2 * (duration.PASSES * tokens * weights + 2 * tokens * (48**2 + 80**2)) / 1e9
    assert opened(2).seconds == pytest.approx(fixed + passes, rel=1e-6)
    assert opened(4).seconds - opened(2).seconds == pytest.approx(passes, rel=1e-6)


def test_the_announcement(opened):
    told = opened(2).announcement("a.txt")
    assert told.startswith("calibrating with 2 windows of 64 tokens of a.txt, in about half a minute and 0.")
    trained = opened(2, "reconstructed")
    assert trained.seconds is None and "a.txt, in about 0." in trained.announcement("a.txt")


SAID = {1: "half a minute", 60: "a minute", 300: "5 minutes", 5000: "83 minutes", 9000: "2.5 hours"}


@pytest.mark.parametrize("seconds", SAID)
def test_durations_as_one_says_them(seconds):
    assert duration.spoken(seconds) == SAID[seconds]


def test_the_speed_of_this_machine():
    assert duration.multiplications_per_second() > 1e7
