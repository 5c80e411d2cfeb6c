"""Where the steps of unknown weights come from: never a Gaussian figure that nobody asked for."""

from pathlib import Path

import numpy as np
import pytest

from fineq_hw.config import ACCELERATORS
from fineq_sim.perf.jobs import code_steps
from fineq_sim.study.results import MissingResults, results_directory
from fineq_sim.study.steps import StepsError, find_steps, mean_shares, spread
from fineq_sim.workloads.work import Linear

RESULTS = Path(__file__).parents[3] / "docs" / "results"
UNARY, CLUSTER = ACCELERATORS["accelerator_64x64"], ACCELERATORS["accelerator_5x7_cluster"]
MAC = ACCELERATORS["mac8x3_accelerator_64x64"]


def test_unknown_weights_are_a_range_of_real_models():
    source = find_steps(None, UNARY, RESULTS, packed=False)
    low, high = source.bounds
    assert 2.6 < low.mean < high.mean < 2.9 and "range of 3 measured models" in source.said
    assert "Gaussian" not in source.said


def test_gaussian_weights_only_by_name():
    (bound,) = find_steps("Gaussian/paper", UNARY, RESULTS, packed=False).bounds
    assert bound.mean < 2.1


@pytest.mark.parametrize(
    "source, mean",
    [("all", 3.0), ("0.25,0.5,0.25", 2.0), ("storyteller/paper", 2.6727), ("storyteller/paper-cycles:0.05", 1.7151)],
)
def test_sources(source, mean):
    found = find_steps(source, UNARY, RESULTS, packed=False)
    assert [bound.mean for bound in found.bounds] == [pytest.approx(mean, abs=1e-4)]
    table = found.table(UNARY, Linear("a", 1, 900, 6400), found.bounds[0])
    assert table.shape == (100, 900) and table.dtype == np.uint8
    assert table.mean() == pytest.approx(mean, abs=1e-3)
    assert found.early_termination == (source != "all")


def test_known_codes_decide():
    codes = np.random.default_rng(0).integers(-1, 2, (10, 70)).astype(np.int8)
    codes[0, :] = 3
    linear = Linear("a", 1, 10, 70, codes=lambda: codes)
    found = find_steps(None, UNARY, RESULTS, packed=True)
    assert (found.table(UNARY, linear, found.bounds[0]) == code_steps(codes, UNARY)).all()
    every = find_steps("all", UNARY, RESULTS, packed=True)
    assert (every.table(UNARY, linear, every.bounds[0]) == 3).all()


def test_a_mac_array_takes_one_step():
    found = find_steps(None, MAC, RESULTS, packed=False)
    assert (found.table(MAC, Linear("a", 1, 5, 70), found.bounds[0]) == 1).all()


@pytest.mark.parametrize(
    "source, packed, said",
    [
        ("packed", False, "needs a packed checkpoint"),
        ("storyteller/paper", True, "its own codes decide"),
        ("nobody/paper", False, "is no source.*storyteller/paper"),
        ("0.5,0.6", False, "together 1"),
        ("0.1,0.2,0.3,0.4", False, "1 to 3 steps"),
        ("-0.5,1.5", False, "together 1"),
    ],
)
def test_bad_sources(source, packed, said):
    with pytest.raises(StepsError, match=said):
        find_steps(source, UNARY, RESULTS, packed)


def test_without_measurements(tmp_path):
    with pytest.raises(MissingResults, match="fineq encodings"):
        find_steps(None, UNARY, tmp_path, packed=False)
    with pytest.raises(MissingResults, match="--results"):
        results_directory(tmp_path / "none")
    assert results_directory(tmp_path) == tmp_path


def test_shares_of_a_mean():
    assert mean_shares(2.25, 3) == (0, 0.75, 0.25) and mean_shares(3, 3) == (0, 0, 1) and mean_shares(1, 1) == (1,)
    assert mean_shares(1.0256, 2) == pytest.approx((0.9744, 0.0256))


def test_spread_is_the_same_each_time_and_mixed():
    one = spread((0.2, 0.5, 0.3), 10, 100)
    assert (one == spread((0.2, 0.5, 0.3), 10, 100)).all()
    assert np.bincount(one.ravel()).tolist() == [0, 200, 500, 300]
    assert (np.diff(one.ravel().astype(int)) != 0).mean() > 0.4
