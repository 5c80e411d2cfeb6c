"""Places that cannot be written: one sentence, nothing half-written, nothing deleted, before any long work."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers.models.tiny_models import files, make_model
from helpers.running.command_line import run_fineq

from fineq.models.locations import shipped_model_path


def outcome_of(*arguments, code=1):
    outcome = run_fineq(*arguments)
    assert outcome.code == code, outcome
    assert outcome.stderr.count("error: ") == 1 and "Traceback" not in outcome.stderr
    return outcome.stderr.splitlines()[-1]


@pytest.fixture
def matrix(tmp_path):
    np.save(tmp_path / "w.npy", np.random.default_rng(0).normal(size=(4, 30)).astype(np.float32))
    return tmp_path / "w.npy"


@pytest.mark.parametrize("output", [".", "..", "/", "here/.."])
def test_quantize_into_a_place_without_a_name(llama, tmp_path, monkeypatch, output):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert outcome_of("quantize", llama, "-o", output).endswith("exists already: choose another output, or remove it")
    assert os.listdir(tmp_path) == ["here"]


def test_quantize_into_a_dangling_link(llama, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert (
        f"link is a link to {tmp_path}/nowhere, which does not exist: choose another output, or remove it"
        in outcome_of("quantize", llama, "-o", tmp_path / "link")
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link"]


def test_model_into_a_dangling_link(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    assert "nowhere, which does not exist: choose another output" in outcome_of(
        "model", "smollm2-135m", "-o", tmp_path / "link"
    )


def test_vectors_into_a_dangling_link_and_here(matrix, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "nowhere, which does not exist: choose a directory" in outcome_of("vectors", matrix, "-o", tmp_path / "link")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert "here is the present directory: choose one of its own" in outcome_of("vectors", matrix, "-o", ".")


def test_vectors_delete_nothing_that_they_did_not_write(matrix, tmp_path):
    output = tmp_path / "v"
    assert run_fineq("vectors", matrix, "-o", output).code == 0
    assert run_fineq("vectors", matrix, "-o", output, "--seed", 3).code == 0  # an older set of ours
    (output / "notes.txt").write_text("mine")
    before = files(output)
    assert "v holds notes.txt, which no golden vectors have" in outcome_of("vectors", matrix, "-o", output)
    assert files(output) == before
    (output / "notes.txt").unlink()
    (output / "more").mkdir()
    assert "v holds more, which" in outcome_of("vectors", matrix, "-o", output)
    (output / "more").rmdir()
    (output / "manifest.json").write_text("{}")  # of someone else, by that name
    assert "manifest.json is no manifest of golden vectors" in outcome_of("vectors", matrix, "-o", output)


def test_eval_into_a_missing_folder_before_measuring(tmp_path, monkeypatch):
    monkeypatch.setattr("fineq.evaluation.evaluate.load_model", lambda *a, **k: pytest.fail("it began to measure"))
    message = outcome_of("eval", "-o", tmp_path / "no" / "result.json")
    assert message == f"error: cannot write {tmp_path / 'no' / 'result.json'}: No such file or directory"
    assert "result is a directory" in outcome_of("eval", "-o", make_directory(tmp_path / "result"))
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "nowhere, which does not exist: choose another output" in outcome_of("eval", "-o", tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and not (tmp_path / "nowhere").exists()


def make_directory(path):
    path.mkdir()
    return path


LIMITED = """
import resource, signal, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from fineq.cli import main
main()
"""


@pytest.mark.parametrize("limit", [0, 1000, 5000])
def test_no_file_may_grow(llama, tmp_path, limit):
    """As a full disk: the system refuses to make a file longer."""
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), "quantize", llama, "-o", tmp_path / "q", "--no-check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"error: cannot write {tmp_path / 'q'}.unfinished") and last.endswith("File too large")
    assert not (tmp_path / "q").exists()


@pytest.mark.parametrize("good_writes", [0, 1, 7, 20])
def test_disk_full_while_writing_weights(llama, tmp_path, monkeypatch, good_writes):
    real, count = os.pwrite, [0]

    def pwrite(*arguments):
        count[0] += 1
        if count[0] > good_writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)

    monkeypatch.setattr(os, "pwrite", pwrite)
    message = outcome_of("quantize", llama, "-o", tmp_path / "q", "--no-check")
    assert message.startswith(f"error: cannot write {tmp_path / 'q'}.unfinished/model-0000")
    assert message.endswith("No space left on device")
    monkeypatch.setattr(os, "pwrite", real)
    assert not (tmp_path / "q").exists()
    assert run_fineq("quantize", llama, "-o", tmp_path / "q", "--resume", "--no-check").code == 0
    assert run_fineq("quantize", llama, "-o", tmp_path / "r", "--no-check").code == 0
    assert files(tmp_path / "q") == files(tmp_path / "r")


def test_disk_full_at_the_end(llama, tmp_path, monkeypatch):
    def copy(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(target))

    monkeypatch.setattr("shutil.copyfile", copy)
    message = outcome_of("quantize", llama, "-o", tmp_path / "q", "--no-check")
    assert message.startswith(f"error: cannot write {tmp_path / 'q'}.unfinished") and "No space left" in message


def test_exclude_of_something_that_is_kept_anyway(llama, tmp_path):
    for pattern in ("*embed*", "lm_head.weight", "*norm*"):
        assert run_fineq("quantize", llama, "-o", tmp_path / "q", "--exclude", pattern, "--dry-run").code == 0


def test_baselines_are_not_written(llama, tmp_path):
    for recipe in ("gptq", "owq", "pb-llm", "rtn", "uniform-3bit"):
        message = outcome_of("quantize", llama, "-o", tmp_path / "q", "--recipe", recipe)
        assert f"`fineq eval --recipe {recipe}` measures it" in message


def test_a_note_for_want_of_a_compiler(tmp_path):
    """The slow path says so, once, unless the user chose it."""
    model = make_model("llama", tmp_path / "model")
    for name, variables in {
        "none": {"CXX": "/no/compiler"},
        "chosen": {"CXX": "/no/compiler", "FINEQ_NATIVE": "0"},
    }.items():
        result = subprocess.run(
            [sys.executable, "-m", "fineq", "quantize", model, "-o", tmp_path / name, "--no-check"],
            capture_output=True, text=True, check=True, env=os.environ | variables,
        )  # fmt: skip
        note = "note: FineQ's compiled kernels are not in use, so this takes many times longer: CXX names"
        assert result.stderr.count(note) == (name == "none") and "Warning" not in result.stderr, result.stderr


def test_no_cuda(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert outcome_of("eval", "--device", "cuda") == (
        "error: there is no CUDA device that torch can use: leave --device out, or install torch for CUDA"
    )
    assert outcome_of("eval", "--device", "abacus").startswith("error: 'abacus' is no device: choose cpu, cuda")


def test_eval_of_a_hub_id(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **options: str(shipped_model_path()))
    outcome = run_fineq("eval", "owner/name", "--windows", 1, "--sequence-length", 64)
    assert outcome.code == 0, outcome.stderr
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.undo()
    assert "does not exist: give a model directory, or a hub id such as owner/name" in outcome_of("eval", "nothing")
