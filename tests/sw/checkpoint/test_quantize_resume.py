"""Interrupted runs of `fineq quantize` go on where they were, or are refused."""

import signal
import subprocess
import sys

import pytest
from helpers.models.tiny_models import files, make_model

from fineq.checkpoint.planning import Options
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source
from fineq.common.errors import FineqError

KILLED = """
import os, signal, sys
from pathlib import Path
from fineq.checkpoint.planning import Options
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source
count = 0
def progress(name, done, total):
    global count
    count += 1
    if count == 9:
        os.kill(os.getpid(), signal.SIGKILL)
quantize_checkpoint(open_source(sys.argv[1]), Path(sys.argv[2]), Options(), progress=progress)
"""


def test_resume_after_kill(quantize, llama, tmp_path):
    result = subprocess.run([sys.executable, "-c", KILLED, llama, tmp_path / "q"])
    assert result.returncode == -signal.SIGKILL
    work = tmp_path / "q.unfinished"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q.unfinished"]
    assert len((work / "journal.jsonl").read_text().splitlines()) == 10
    refused = quantize(llama, "-o", tmp_path / "q")
    assert refused[0] == 1 and "q.unfinished holds an unfinished run: add --resume to go on with it" in refused[2]
    refused = quantize(llama, "-o", tmp_path / "q", "--resume", "--recipe", "paper")
    assert refused[0] == 1 and "q.unfinished was begun with another options: repeat that run exactly" in refused[2]
    code, _, error = quantize(llama, "-o", tmp_path / "q", "--resume")
    assert code == 0, error
    quantize(llama, "-o", tmp_path / "undisturbed")
    assert files(tmp_path / "q") == files(tmp_path / "undisturbed")


class Stop(Exception):
    pass


def interrupted(source, output, after, options=None):
    def progress(name, done, total):
        nonlocal after
        after -= 1
        if after == 0:
            raise Stop

    with pytest.raises(Stop):
        quantize_checkpoint(open_source(source), output, options or Options(), resume=True, progress=progress)


def test_resume_again_and_again(llama, tmp_path):
    quantize_checkpoint(open_source(llama), tmp_path / "undisturbed", Options())
    for after in (1, 5, 5, 5):  # each run begins where the one before was stopped
        interrupted(llama, tmp_path / "q", after)
    quantize_checkpoint(open_source(llama), tmp_path / "q", Options(), resume=True)
    assert files(tmp_path / "q") == files(tmp_path / "undisturbed")


def test_resume_repairs_what_was_lost(llama, tmp_path):
    """A line of the journal cut short, and bytes that never reached the disk."""
    quantize_checkpoint(open_source(llama), tmp_path / "undisturbed", Options())
    interrupted(llama, tmp_path / "q", 12)
    work = tmp_path / "q.unfinished"
    journal = (work / "journal.jsonl").read_bytes()
    (work / "journal.jsonl").write_bytes(journal[:-30])
    shard = sorted(work.glob("*.safetensors"))[0]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    shard.write_bytes(content)
    sorted(work.glob("*.safetensors"))[1].unlink()
    quantize_checkpoint(open_source(llama), tmp_path / "q", Options(), resume=True)
    assert files(tmp_path / "q") == files(tmp_path / "undisturbed")


def test_resume_of_another_model_is_refused(tmp_path, monkeypatch):
    source = make_model("llama", tmp_path / "model")
    interrupted(source, tmp_path / "q", 4)
    weights = bytearray((source / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (source / "model.safetensors").write_bytes(weights)
    with pytest.raises(FineqError, match="q.unfinished was begun with another model: repeat that run exactly"):
        quantize_checkpoint(open_source(source), tmp_path / "q", Options(), resume=True)
    monkeypatch.setattr("fineq.checkpoint.quantize.cache_key", lambda module: "another")
    with pytest.raises(FineqError, match="was begun with another model and version"):
        quantize_checkpoint(open_source(source), tmp_path / "q", Options(), resume=True)
