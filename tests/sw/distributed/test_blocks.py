"""Blocks calibrated on many machines: the bytes of one process, whoever has which windows and dies on the way."""

import shutil
from dataclasses import replace

import pytest
import torch
from helpers.models.calibration import QUICK, TEXT, opened
from helpers.models.tiny_models import files, make_model
from helpers.running.command_line import run_fineq
from helpers.running.ray_cluster import local_cluster

from fineq.blockwise import calibrate_blocks
from fineq.calibrated import RECIPES, TuningOptions, capture
from fineq.checkpoint.planning import Options
from fineq.common.errors import FineqError
from fineq.distributed import batches
from fineq.distributed.batches import BatchWorker
from fineq.distributed.blocks import _job, calibrate_on, finished_blocks

TUNED = replace(QUICK, name="tuned", tuning=TuningOptions(steps=2))


class Workers:
    """Stands for a cluster and its crew, in this process: workers that lose all they have now and then."""

    def __init__(self, count, lives=10**9):
        self.count, self.lives, self.calls = count, lives, 0

    def crew(self, make, job):
        self.make = lambda: make(job)
        self.workers = [self.make() for _ in range(self.count)]
        return self

    def share(self, value):
        return value

    def each(self, method, calls):
        for number, call in enumerate(calls):
            self.calls += 1
            if self.calls % self.lives == 0:
                self.workers[number % self.count] = self.make()
            if self.calls % (2 * self.lives) == 0:
                self.workers.reverse()
            yield getattr(self.workers[number % self.count], method)(*call)

    def end(self):
        pass


@pytest.fixture(autouse=True)
def several_batches(monkeypatch):
    """Each window is a batch; the layers are solved in pieces."""
    monkeypatch.setattr(capture, "BATCH_TOKENS", 64)
    monkeypatch.setattr("fineq.calibrated.solver.CHUNK_WEIGHTS", 1000)
    before = torch.is_grad_enabled()
    yield
    torch.set_grad_enabled(before)


def assert_equal(found, expected):
    assert sorted(found[0]) == sorted(expected[0]) and sorted(found[1]) == sorted(expected[1])
    for name, layer in expected[0].items():
        assert torch.equal(found[0][name].blocks, layer.blocks), name
        assert torch.equal(found[0][name].scales, layer.scales), name
    assert all(torch.equal(found[1][name], value) for name, value in expected[1].items())


@pytest.mark.parametrize(
    "architecture, count, lives",
    [("llama", 1, 10**9), ("llama", 3, 10**9), ("llama", 2, 3), ("gpt2", 2, 7), ("bloom", 2, 7), ("mixtral", 2, 7)],
)
def test_it_is_what_one_process_gives(architecture, count, lives, tokens, tmp_path):
    directory = make_model(architecture, tmp_path / "model")
    expected = calibrate_blocks(opened(directory, tokens, tmp_path / "one"))
    reports = []
    calibration = opened(directory, tokens, tmp_path / "many")
    calibrate_on(Workers(count, lives), calibration, lambda *report: reports.append(report))
    assert_equal(calibrate_blocks(calibration, lambda *report: pytest.fail("worked again")), expected)
    assert sorted(files(tmp_path / "many")) == sorted(files(tmp_path / "one")), "no batch is left"
    assert [done for _, done, _ in reports] == list(range(1, len(expected[0]) + 1))


def test_a_choice_of_layers_and_tuning(tokens, tmp_path):
    directory = make_model("llama", tmp_path / "model")
    options = Options("tuned", include=("*.mlp.*", "*q_proj*"), exclude=("*layers.0.mlp.down*",))
    expected = calibrate_blocks(opened(directory, tokens, tmp_path / "one", TUNED, options))
    calibration = opened(directory, tokens, tmp_path / "many", TUNED, options)
    calibrate_on(Workers(2, 5), calibration)
    assert_equal(calibrate_blocks(calibration), expected)


def test_a_run_goes_on_here_and_there(tokens, tmp_path):
    """A block here, the next on a cluster that is stopped in it, and the end on another."""
    directory = make_model("llama", tmp_path / "model")
    expected = calibrate_blocks(opened(directory, tokens, tmp_path / "one"))

    class Stopped(Exception):
        pass

    def stop_at(count):
        def progress(what, done, total):
            if done == count:
                raise Stopped

        return progress

    with pytest.raises(Stopped):
        calibrate_blocks(opened(directory, tokens, tmp_path / "many"), stop_at(8))
    calibration = opened(directory, tokens, tmp_path / "many", resume=True)
    assert finished_blocks(calibration) == 1 and calibration.layers_of(1) == 7
    with pytest.raises(Stopped):
        calibrate_on(Workers(2), calibration, stop_at(11))
    calibration = opened(directory, tokens, tmp_path / "many", resume=True)
    assert finished_blocks(calibration) == 1
    calibrate_on(Workers(3), calibration)
    assert_equal(calibrate_blocks(calibration), expected)

    shutil.rmtree(tmp_path / "many")
    with pytest.raises(Stopped):
        calibrate_on(Workers(2), opened(directory, tokens, tmp_path / "many"), stop_at(9))
    calibration = opened(directory, tokens, tmp_path / "many", resume=True)
    assert calibration.finished == 0 and finished_blocks(calibration) == 1
    reports = []
    calibrate_on(Workers(1), calibration, lambda *report: reports.append(report[1]))
    assert reports == list(range(8, 15))
    assert_equal(calibrate_blocks(calibration), expected)


def test_what_a_worker_refuses(tokens, tmp_path, monkeypatch):
    directory = make_model("llama", tmp_path / "model")
    calibration = opened(directory, tokens, tmp_path / "journal")
    job = _job(calibration, QUICK.layerwise(calibration.wanted))
    for changed in ({"model": tmp_path / "no"}, {"journal": tmp_path / "no"}, {"fingerprint": "of another"}):
        with pytest.raises(
            FineqError, match="is not what the other machines see there: model and output need a shared"
        ):
            BatchWorker(replace(job, **changed))
    with pytest.raises(FineqError, match="was begun with another recipe"):
        BatchWorker(replace(job, record=job.record | {"recipe": "x"}))
    monkeypatch.setattr(batches, "processor_kind", lambda: "VSX")
    with pytest.raises(FineqError, match="^its processor computes with VSX, that of the machine that calibrates with "):
        BatchWorker(job)


def test_recipes_that_are_no_work_for_a_cluster(tokens, tmp_path):
    directory = make_model("llama", tmp_path / "model")
    calibration = opened(directory, tokens, tmp_path / "journal", RECIPES["reconstructed"])
    with pytest.raises(FineqError, match="recipe reconstructed trains each block on all windows at once: leave --ray"):
        calibrate_on(Workers(1), calibration)


def test_a_lost_batch_is_said(tokens, tmp_path):
    directory = make_model("llama", tmp_path / "model")
    calibration = opened(directory, tokens, tmp_path / "journal")

    class Forgetful(Workers):
        def each(self, method, calls):
            calibration.journal.batch(0, 2).unlink()
            yield from super().each(method, calls)

    with pytest.raises(FineqError, match="cannot read .*windows-0000-0002.safetensors.*remove .* and start again"):
        calibrate_on(Forgetful(2), calibration)


@pytest.mark.regress
def test_a_machine_dies_and_a_run_goes_on(tmp_path, monkeypatch):
    """The command, on a cluster of two workers of which one is killed, and stopped after the first block."""
    model = make_model("llama", tmp_path / "model")
    (tmp_path / "text.txt").write_text(TEXT)
    common = ("quantize", model, "--recipe", "calibrated", "--calibration", tmp_path / "text.txt")
    code, _, error = run_fineq(*common, "-o", tmp_path / "one")
    assert code == 0, error
    output = tmp_path / "out" / "q"
    from fineq.calibrated.layerwise import BlockProgress

    layer, seen = BlockProgress.layer, []
    with local_cluster() as local:

        def count(self):
            layer(self)
            seen.append(self._done)
            if len(seen) == 2:
                local.kill()
            if len(seen) == 9:
                raise KeyboardInterrupt

        monkeypatch.setattr(BlockProgress, "layer", count)
        code, _, error = run_fineq(*common, "-o", output, "--ray", local.address)
        assert code != 0 and "repeat the command with --resume to go on" in error
        local.add()
        code, _, error = run_fineq(*common, "-o", output, "--ray", local.address, "--resume")
        assert code == 0, error
        assert seen == [*range(1, 10), *range(8, 15)]
    assert files(output) == files(tmp_path / "one")
    assert [path.name for path in output.parent.iterdir()] == ["q"]
