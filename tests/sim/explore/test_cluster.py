"""Explorations on a Ray cluster: what processes here find, with a machine that is killed in the middle."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.running.command_line import run_fineq
from helpers.running.ray_cluster import local_cluster

from fineq.common.errors import FineqError
from fineq.distributed.cluster import connected
from fineq_sim.explore.cluster import AT_ONCE, Sent, measure_sent
from fineq_sim.explore.points import explored, measurements
from fineq_sim.explore.search import search
from fineq_sim.explore.space import read_space
from fineq_sim.explore.store import Store
from fineq_sim.workloads.find import find_workload

RESULTS = Path(__file__).parents[3] / "docs" / "results"
SPACE = """
base: accelerator_16x16
axes:
  encoding: [unary, cluster, mac8x3]
  rows: [0, 16, 32, 64]
  outstanding_reads: [2, 4, 6, 8]
  channels_per_tile: [128, 256]
"""


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def exploration(space):
    return explored(read_space(space), find_workload("smollm2-135m", sequences=[20]), RESULTS, None)


def test_measurements_travel_with_the_work(exploration, tmp_path):
    points = [point for point in exploration.space.points() if point["rows"]]
    points = list({point["encoding"]: point for point in points}.values())  # what is measured differs by encoding
    files = tuple((path.name, path.read_bytes()) for path in measurements(RESULTS))
    sent = Sent(replace(exploration, results=tmp_path / "not here"), files)
    here, _ = search(exploration, Store(tmp_path / "p.jsonl", exploration), 1)
    found = [next(found for other, found in here if other == point) for point in points]
    assert measure_sent(sent, points) == found
    with pytest.raises(FineqError, match="not here.*it with `fineq encodings`"):
        measure_sent(replace(sent, files=tuple(each for each in files if each[0] != "encodings.csv")), points[:1])


@pytest.mark.regress
def test_a_machine_dies_and_a_run_goes_on(exploration, space, tmp_path):
    here = search(exploration, Store(tmp_path / "here.jsonl", exploration), 2)
    reports = []
    with local_cluster() as local:

        def progress(done, total):
            reports.append((done, total))
            if done == 2 * AT_ONCE:
                local.kill()
            if done == 6 * AT_ONCE:
                raise KeyboardInterrupt

        there = tmp_path / "there.jsonl"
        with pytest.raises(KeyboardInterrupt), connected(local.address, "fineq_sim.explore.cluster") as cluster:
            search(exploration, Store(there, exploration), 1, progress, cluster)
        assert reports[0] == (0, 96) and reports[-1] == (6 * AT_ONCE, 96)
        kept = len(there.read_text().splitlines())
        assert kept == 6 * AT_ONCE
        local.add()
        with connected(local.address, "fineq_sim.explore.cluster") as cluster:
            found = search(exploration, Store(there, exploration), 1, lambda *far: reports.append(far), cluster)
        assert reports[7 * AT_ONCE] == (kept, 96) or (kept, 96) in reports
        assert found == here and len(found[1]) == 24
        lines = [sorted(path.read_text().splitlines()) for path in (tmp_path / "here.jsonl", there)]
        assert lines[0] == lines[1]

        outputs = []
        for name, how in (("one", ("--jobs", "2")), ("many", ("--ray", local.address))):
            output = tmp_path / name
            common = ("explore", space, "smollm2-135m", "--seq", "20", "--top", "1", "--store", output / "store")
            code, shown, error = run_fineq(*common, "-o", output, *how)
            assert code == 0 and "72 machines, 24 that cannot be built" in shown, error
            outputs.append(output)
        for name in ("exploration-points.csv", "exploration.png"):
            assert (outputs[0] / name).read_bytes() == (outputs[1] / name).read_bytes()
        assert all(json.loads(line)["key"] for line in (outputs[1] / "store" / "points.jsonl").open())


def test_a_cluster_that_is_not_there(space, tmp_path):
    pytest.importorskip("ray", reason="ray is not installed: pip install 'fineq[ray]'")
    common = ("explore", space, "smollm2-135m", "--seq", "20", "--store", tmp_path / "s", "-o", tmp_path / "o")
    code, shown, error = run_fineq(*common, "--ray", "127.0.0.1:1")
    assert (code, shown) == (1, "") and error.startswith("error: cannot reach a Ray cluster at 127.0.0.1:1: ")
    assert error.count("\n") == 1
