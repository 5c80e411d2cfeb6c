"""Explorations: the space, points that are kept and found again, the front, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from fineq.common.errors import FineqError
from fineq_hw.config import ARRAYS
from fineq_sim.energy.fit import ArrayFit
from fineq_sim.energy.synthesis import MissingSynthesis, SynthesisReports, read_reports
from fineq_sim.explore import search as search_module
from fineq_sim.explore.points import explored, for_columns, measure
from fineq_sim.explore.search import GOALS, best_by_product, pareto, search
from fineq_sim.explore.space import KINDS, SpaceError, architecture, read_space
from fineq_sim.explore.store import Store
from fineq_sim.workloads.find import find_workload

RESULTS = Path(__file__).parents[3] / "docs" / "results"
SPACE = """
base: accelerator_16x16
axes:
  encoding: [unary, cluster, mac8x3]
  rows: [16, 32]
  outstanding_reads: [4, 8]
  memory.latency: [20]
"""


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(SPACE)
    return read_space(path)


@pytest.fixture
def exploration(space):
    return explored(space, find_workload("smollm2-135m", sequences=[20]), RESULTS, None)


def test_the_grid_in_order(space):
    points = list(space.points())
    assert space.grid == len(points) == 12 and len({json.dumps(point) for point in points}) == 12
    assert points[0] == {"encoding": "unary", "rows": 16, "outstanding_reads": 4, "memory.latency": 20}
    assert points[1]["outstanding_reads"] == 8 and points[-1]["encoding"] == "mac8x3"


def test_a_sample_is_part_of_the_grid_and_the_same_each_time(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(SPACE + "sample: 5\nseed: 3\n")
    sampled = list(read_space(path).points())
    path.write_text(SPACE)
    grid = list(read_space(path).points())
    assert len(sampled) == 5 and all(point in grid for point in sampled)
    path.write_text(SPACE + "sample: 5\nseed: 3\n")
    assert sampled == list(read_space(path).points())
    path.write_text(SPACE + "sample: 5\nseed: 4\n")
    assert sampled != list(read_space(path).points())


def test_machines_of_points(space):
    found = architecture(space, {"encoding": "cluster", "rows": 32, "columns": 48, "memory.latency": 7})
    assert (found.config.array.rows, found.config.array.columns) == (32, 48)
    assert found.config.array.encoding == "cluster" and found.memory.latency == 7
    assert all(kind == config.weight_code or kind.startswith("mac") for kind, config in KINDS.items())


@pytest.mark.parametrize(
    "text, said",
    [
        ("axes: {}", "has no axes"),
        ("axes: {rows: 4}", "axis rows is 4"),
        ("axes: {rows: []}", "axis rows is"),
        ("axes: {encoding: [ternary]}", "encoding 'ternary' is unknown"),
        ("axes: {row: [4]}", "unknown setting 'row'"),
        ("axes: {memory.speed: [4]}", "unknown setting of memory 'speed'"),
        ("axes: {rows: [4]}\nbase: x", "base is 'x'"),
        ("axes: {rows: [4]}\nsample: 0", "sample is 0"),
        ("axes: {rows: [4]}\nsample: many", "sample is 'many'"),
        ("axes: {rows: [4]}\naxis: 1", "unknown setting 'axis'"),
        ("axes: [", "as YAML"),
    ],
)
def test_bad_spaces(tmp_path, text, said):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(SpaceError, match=said):
        read_space(path)


def test_points_are_kept_and_not_measured_twice(exploration, tmp_path, monkeypatch):
    path = tmp_path / "points.jsonl"
    good, bad = search(exploration, Store(path, exploration), jobs=1)
    assert len(good) == 12 and not bad
    assert all(found["seconds"] > 0 and found["mm2"] > 0 for _, found in good)
    assert {point["rows"] for point, found in good if found["measured"]} == {16}
    with path.open("ab") as file:
        file.write(b'{"key": "half a li')  # a run that was killed
    monkeypatch.setattr(search_module, "measure", lambda *arguments: pytest.fail("measured again"))
    again, _ = search(exploration, Store(path, exploration), jobs=1)
    assert again == good
    assert path.read_bytes().endswith(b"\n")


def test_another_workload_has_other_points(exploration, tmp_path):
    store = Store(tmp_path / "p.jsonl", exploration)
    point = next(iter(exploration.space.points()))
    store.add(point, {"seconds": 1.0})
    other = explored(exploration.space, find_workload("smollm2-135m", sequences=[21]), RESULTS, None)
    assert Store(tmp_path / "p.jsonl", exploration).find(point) == {"seconds": 1.0}
    assert Store(tmp_path / "p.jsonl", other).find(point) is None


def test_a_file_that_is_no_store(exploration, tmp_path):
    (tmp_path / "p.jsonl").write_text("x\n")
    with pytest.raises(FineqError, match="line 1 is no point"):
        Store(tmp_path / "p.jsonl", exploration)


def test_several_processes_find_the_same(exploration, tmp_path):
    pytest.importorskip("joblib", reason="joblib is not installed")
    one, _ = search(exploration, Store(tmp_path / "1.jsonl", exploration), jobs=1)
    two, _ = search(exploration, Store(tmp_path / "2.jsonl", exploration), jobs=2)
    assert one == two


def test_machines_that_cannot_be_built_are_told(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("axes:\n  rows: [16, 0]\n  encoding: [unary]\nbase: accelerator_16x16\n")
    exploration = explored(read_space(path), find_workload("smollm2-135m", sequences=[9]), RESULTS, None)
    good, bad = search(exploration, Store(tmp_path / "p.jsonl", exploration), jobs=1)
    assert len(good) == len(bad) == 1 and "rows is 0" in bad[0][1]["refused"]
    path.write_text("axes:\n  rows: [0]\n")
    exploration = explored(read_space(path), find_workload("smollm2-135m", sequences=[9]), RESULTS, None)
    with pytest.raises(FineqError, match="no machine of the space can be built: rows is 0"):
        search(exploration, Store(tmp_path / "q.jsonl", exploration), jobs=1)


def test_front_against_all_pairs():
    rng = np.random.default_rng(0)
    found = [({"n": n}, dict(zip(GOALS, rng.integers(1, 7, 3).tolist(), strict=True))) for n in range(200)]
    front = pareto(found)

    def better(one, other):
        values = [(one[goal], other[goal]) for goal in GOALS]
        return all(a <= b for a, b in values) and any(a < b for a, b in values)

    expected = [each for each in found if not any(better(other[1], each[1]) for other in found)]
    assert {tuple(each[1].values()) for each in front} == {tuple(each[1].values()) for each in expected}
    assert len(front) == len({tuple(each[1].values()) for each in front})
    assert best_by_product(found, 1)[0][1] in [each[1] for each in front]


def test_steps_of_other_widths():
    shares = (0.1, 0.6, 0.3)
    assert for_columns(shares, 64) == pytest.approx(shares)
    wide, narrow = for_columns(shares, 128), for_columns(shares, 32)
    assert wide == pytest.approx((0.01, 0.48, 0.51)) and sum(narrow) == pytest.approx(1) and narrow[2] < 0.3


def test_exact_points_agree_with_the_estimate(exploration):
    point = {"encoding": "unary", "rows": 16, "outstanding_reads": 8, "memory.latency": 20}
    assert measure(exploration, point, "exact")["seconds"] == pytest.approx(
        measure(exploration, point)["seconds"], rel=0.02
    )


def test_fit_gives_back_what_was_measured_and_says_how_far_it_is_off():
    reports = read_reports(RESULTS)
    fit = ArrayFit(reports)
    array, measured = fit.array(ARRAYS["fineq_16x16_cluster"])
    assert measured and array == reports.find(ARRAYS["fineq_16x16_cluster"])
    between, measured = fit.array(KINDS["cluster"].__class__(32, 32, encoding="cluster", sign_handling="column", activation_storage="latch"))  # noqa: E501  # fmt: skip
    small, large = (reports.find(ARRAYS[f"fineq_{size}_cluster"]) for size in ("16x16", "64x64"))
    assert not measured and small.area_um2 < between.area_um2 < large.area_um2
    assert small.step_pj < between.step_pj < large.step_pj
    held = fit.held_out()
    assert len(held) >= 10 and all(0.5 < ratio < 2 for each in held for ratio in each.ratios.values())
    assert "at worst" in fit.sentence()


def test_no_figures_for_what_nobody_has_synthesised():
    reports = read_reports(RESULTS)
    left = {top: each for top, each in reports.designs.items() if "cluster" not in top}
    with pytest.raises(MissingSynthesis, match="cluster with these settings has not been synthesised"):
        ArrayFit(SynthesisReports(RESULTS, left, {})).array(ARRAYS["fineq_64x64_cluster"])


@pytest.mark.parametrize(
    "reads, latency, busy",
    [
        (8, 60, 0.947),
        (8, 80, 0.919),
        (8, 100, 0.818),
        (8, 200, 0.444),
        (16, 100, 0.948),
        (16, 200, 0.830),
        (32, 200, 0.948),
    ],
)
def test_reads_outstanding_hide_latency(tmp_path, reads, latency, busy):
    """Figures of an independent model of the machine, on 2048 x 4096 x 4096 with 2.34 steps per vector."""
    (tmp_path / "s.yaml").write_text("axes: {outstanding_reads: [8]}\n")
    (tmp_path / "w.csv").write_text("name,M,N,K\na,2048,4096,4096\n")
    work = find_workload(str(tmp_path / "w.csv"))
    exploration = explored(read_space(tmp_path / "s.yaml"), work, RESULTS, "0,0.66,0.34")
    point = {"outstanding_reads": reads, "memory.latency": latency}
    assert measure(exploration, point)["busy"] == pytest.approx(busy, abs=0.0015)
