"""Parts made on a Ray cluster: the bytes of one process, with a machine that is killed in the middle."""

import shutil
from types import SimpleNamespace

import pytest
from helpers.models.tiny_models import files, make_model
from helpers.running.command_line import run_fineq
from helpers.running.full_disk import room
from helpers.running.ray_cluster import local_cluster

from fineq.checkpoint.planning import Options, make_plan
from fineq.checkpoint.source import open_source
from fineq.common.errors import FineqError
from fineq.distributed.cluster import connected
from fineq.distributed.merge import merge_parts
from fineq.distributed.parts import Part, job_record, join_job, read_job
from fineq.distributed.spread import _Job, make_parts, work_on_part
from fineq.distributed.work import attempts, make_part


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Of several weight files."""
    return make_model("llama", tmp_path_factory.mktemp("model") / "llama", max_shard_size="40KB")


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "q"
    code, _, error = run_fineq("quantize", model, "-o", output, "--recipe", "paper")
    assert code == 0, error
    return output


def inputs(model):
    source, options = open_source(model), Options("paper")
    return source, options, make_plan(source, options, "row")


@pytest.mark.regress
def test_the_command(model, whole, tmp_path):
    output = tmp_path / "q"
    common = ("quantize", model, "-o", output, "--recipe", "paper")
    with local_cluster() as local:
        code, shown, error = run_fineq(*common, "--ray", local.address)
        assert code == 0 and f"written to {output}" in shown, error
        assert f"quantizing on 2 processors of the Ray cluster at {local.address}" in error and "part " in error
        assert files(output) == files(whole)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["q"]


@pytest.mark.regress
def test_a_machine_dies_and_a_run_goes_on(model, whole, tmp_path):
    output, reports = tmp_path / "q", []
    source, options, plan = inputs(model)
    with local_cluster() as local:

        def progress(what, done, total):
            reports.append((done, total))
            if len(reports) == 2:
                local.kill()
            if len(reports) == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), connected(local.address, "fineq.distributed.spread") as cluster:
            make_parts(cluster, source, output, options, plan, progress=progress)
        assert [done for done, _ in reports] == sorted({done for done, _ in reports})
        assert read_job(output)["parts"] == 8
        local.add()
        local.add()
        code, _, error = run_fineq("quantize", model, "-o", output, "--recipe", "paper", "--ray", local.address)
        assert code == 1 and "q.parts holds an unfinished run: add --resume to go on with it, or remove it\n" in error
        command = ("quantize", model, "-o", output, "--recipe", "paper", "--ray", local.address, "--resume")
        code, _, error = run_fineq(*command)
        assert code == 0, error
    assert files(output) == files(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q"]


# -- what a worker does ----------------------------------------------------------------------------------------


@pytest.fixture
def job(model, tmp_path):
    source, options, plan = inputs(model)
    join_job(tmp_path / "q", job_record(source, options, 3))
    return _Job(model, tmp_path / "q", options, plan, read_job(tmp_path / "q"))


def test_attempts_do_not_harm_each_other(job, model, whole, tmp_path):
    parts, part = tmp_path / "q.parts", Part(2, 3)
    source, options, plan = inputs(model)
    for number in (1, 2, 3, 2):
        work_on_part(job, number)
    made = files(parts / part.folder)
    make_part(source, parts, options, plan, part)  # by one that was thought to be dead
    assert files(parts / part.folder) == made
    left = parts / ".attempt-part-2-of-3-0123.unfinished"
    left.mkdir()
    assert attempts(parts) == [left]
    left.rmdir()
    merge_parts(source, tmp_path / "q", options, plan)
    names = [name for name in files(whole) if name.endswith((".safetensors", ".index.json"))]
    assert len(names) > 2 and all(files(tmp_path / "q")[name] == files(whole)[name] for name in names)


def test_no_room(job, model, whole, tmp_path):
    """A worker says it, and leaves nothing."""
    with room(3000), pytest.raises(FineqError, match="^cannot write .*attempt-part-1-of-3.*: File too large$"):
        work_on_part(job, 1)
    assert sorted(path.name for path in (tmp_path / "q.parts").iterdir()) == ["job.json"]
    work_on_part(job, 1)


def test_parts_of_another_job(job, model, tmp_path):
    """Said before anything is sent to a worker."""
    source, _, plan = inputs(model)
    idle = SimpleNamespace(processors=2)
    with pytest.raises(
        FineqError, match="q.parts holds an unfinished run: add --resume to go on with it, or remove it"
    ):
        make_parts(idle, source, job.output, job.options, plan)
    with pytest.raises(FineqError, match="q.parts was begun with another options: all workers need the same"):
        make_parts(idle, source, job.output, Options("mse"), plan, resume=True)
    (tmp_path / "q.parts" / "job.json").write_text("{}")
    with pytest.raises(FineqError, match="q.parts does not say how many parts there are: its record is damaged"):
        make_parts(idle, source, job.output, job.options, plan, resume=True)


def test_a_worker_that_sees_other_files(job, model, tmp_path):
    elsewhere = _Job(model, tmp_path / "elsewhere" / "q", job.options, job.plan, job.record)
    with pytest.raises(FineqError, match=r"q.parts is not what the other machines see there: model and output need a"):
        work_on_part(elsewhere, 1)
    gone = _Job(tmp_path / "model", job.output, job.options, job.plan, job.record)
    with pytest.raises(FineqError, match=r"/model is not what the other machines see there: model and output need a"):
        work_on_part(gone, 1)
    shutil.copytree(model, tmp_path / "model", copy_function=shutil.copyfile)  # with other times
    with pytest.raises(FineqError, match=r"/model is not what the other machines see there: model and output need a"):
        work_on_part(gone, 1)
    assert sorted(path.name for path in (tmp_path / "q.parts").iterdir()) == ["job.json"]


def test_what_is_refused(model, tmp_path):
    pytest.importorskip("ray", reason="ray is not installed: pip install 'fineq[ray]'")
    common = ("quantize", model, "-o", tmp_path / "q", "--recipe", "paper")
    code, shown, error = run_fineq(*common, "--ray", "127.0.0.1:1")
    assert (code, shown) == (1, "") and error.startswith("error: cannot reach a Ray cluster at 127.0.0.1:1: ")
    assert error.count("\n") == 1
    code, _, error = run_fineq(*common, "--ray", "127.0.0.1:1", "--part", "1/2")
    assert (code, error) == (1, "error: --ray makes all parts by itself: leave --part or --ray out\n")
    assert list(tmp_path.iterdir()) == []
