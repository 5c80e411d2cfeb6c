"""What a quantized copy carries besides weights, and models whose files hold more or less than usual."""

import json

import pytest
import torch
from helpers.models.quantized_models import load, logits, quantize_model
from helpers.models.tiny_models import files, make_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM

import fineq.huggingface  # noqa: F401
from fineq.checkpoint.planning import Options
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source

SMALL_FILES = (
    "modeling_own.py", "qwen.tiktoken", "NOTICE", "NOTICE.txt", "LICENSE", "LICENSE.md", "USE_POLICY.md",
    "chat_template.jinja", "chat_template.json", "vocab.bpe", "spiece.model", "generation_config.json", "merges.txt",
)  # fmt: skip


def quantized(directory, output, **options):
    return quantize_checkpoint(open_source(directory), output, Options(**options))


def test_small_files_are_copied(tmp_path):
    directory = make_model("llama", tmp_path / "model")
    for name in SMALL_FILES:
        (directory / name).write_text(f'{{"is": "{name}"}}')
    (directory / "additional_chat_templates").mkdir()
    (directory / "additional_chat_templates" / "tools.jinja").write_text("tools")
    for name in ("pytorch_model.bin", "model.gguf", "tf_model.h5", "README.md", ".hidden", "optimizer.pt"):
        (directory / name).write_text("not this one")
    quantized(directory, tmp_path / "q")
    written = {path.name: path.read_bytes() for path in (tmp_path / "q").iterdir() if path.is_file()}
    for name in SMALL_FILES:
        assert written[name] == (directory / name).read_bytes(), name
    assert (tmp_path / "q" / "additional_chat_templates" / "tools.jinja").read_text() == "tools"
    assert not {"pytorch_model.bin", "model.gguf", "tf_model.h5", ".hidden", "optimizer.pt"} & set(written)
    assert b"not this one" not in written["README.md"]


CARD = """---
license: apache-2.0
language:
- en
base_model: someone/earlier
---
# A model
"""


def test_card_names_base_model_and_licence(tmp_path):
    directory = make_model("llama", tmp_path / "model")
    (directory / "README.md").write_text(CARD)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"_name_or_path": "owner/tiny-llama"}))
    quantized(directory, tmp_path / "q")
    card = metadata_of(tmp_path / "q")
    assert card["base_model"] == "owner/tiny-llama" and card["license"] == "apache-2.0" and card["language"] == ["en"]
    assert card["base_model_relation"] == "quantized" and "fineq" in card["tags"]


def metadata_of(directory):
    from huggingface_hub.repocard import metadata_load

    return metadata_load(directory / "README.md")


def test_card_of_a_hub_model(tmp_path, monkeypatch):
    directory = make_model("llama", tmp_path / "model")
    (directory / "LICENSE").write_text("own words")
    asked = {}
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda name, **options: asked.update(options) or str(directory)
    )
    quantize_checkpoint(open_source("owner/name"), tmp_path / "q", Options())
    card = metadata_of(tmp_path / "q")
    assert card["base_model"] == "owner/name"
    assert (card["license"], card["license_link"]) == ("other", "LICENSE")
    from huggingface_hub.utils import filter_repo_objects

    wanted = "config.json README.md NOTICE a.tiktoken modeling_own.py model.safetensors tokenizer.model".split()
    wanted += ["additional_chat_templates/tools.jinja"]
    unwanted = ["pytorch_model.bin", "onnx/model.onnx", "original/consolidated.00.pth", "fp16/model.safetensors"]
    kept = filter_repo_objects(
        wanted + unwanted, allow_patterns=asked.get("allow_patterns"), ignore_patterns=asked.get("ignore_patterns")
    )
    assert sorted(kept) == sorted(wanted)


@pytest.mark.parametrize("front", ["---\nlicense: [\n---\n", "no front matter", "---\n- a\n---\n", "\xff"])
def test_a_card_that_cannot_be_read_is_no_obstacle(front, tmp_path):
    directory = make_model("llama", tmp_path / "model")
    (directory / "README.md").write_bytes(front.encode("latin-1"))
    quantized(directory, tmp_path / "q")
    assert "license" not in metadata_of(tmp_path / "q")


EXTRAS = {
    "notes.u16": torch.arange(5).to(torch.uint16),
    "notes.u32": torch.arange(5).to(torch.uint32),
    "notes.u64": torch.arange(5).to(torch.uint64),
    "notes.c64": torch.randn(3, dtype=torch.complex64),
    "notes.f8": torch.randn(6).to(torch.float8_e4m3fn),
    "notes.i64": torch.arange(4),
    "notes.bool": torch.tensor([True, False]),
    "notes.empty": torch.empty(0, 3),
    "notes.scalar": torch.tensor(3.0),
}


def test_extra_tensors_of_other_types_are_copied(tmp_path):
    directory = make_model("llama", tmp_path / "model")
    save_file(load_file(directory / "model.safetensors") | EXTRAS, directory / "model.safetensors", {"format": "pt"})
    quantized(directory, tmp_path / "q")
    with safe_open(tmp_path / "q" / "model.safetensors", framework="pt") as file:
        for name, tensor in EXTRAS.items():
            copied = file.get_tensor(name)
            assert copied.dtype == tensor.dtype and copied.shape == tensor.shape
            assert copied.reshape(-1).view(torch.uint8).equal(tensor.reshape(-1).view(torch.uint8)), name
    load(tmp_path / "q")


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gpt_neox"])
def test_a_model_without_its_head(architecture, tmp_path):
    """As embedding models are published: the base alone, not tied to any head."""
    make_model(architecture, tmp_path / "whole")
    base = AutoModel.from_pretrained(tmp_path / "whole")
    base.save_pretrained(tmp_path / "model")
    plan_options = Options(recipe="paper")
    quantize_checkpoint(open_source(tmp_path / "model"), tmp_path / "q", plan_options)
    packed = AutoModel.from_pretrained(tmp_path / "q")
    ids = torch.arange(3, 43).view(2, 20)
    with torch.no_grad():
        found = packed(ids).last_hidden_state
        expected = packed.dequantize()(ids).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    quantize_checkpoint(open_source(tmp_path / "whole"), tmp_path / "qw", plan_options)
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "qw").base_model
    with torch.no_grad():
        torch.testing.assert_close(found, whole(ids).last_hidden_state, rtol=1e-5, atol=1e-4)


def test_a_language_model_that_lost_its_head_is_incomplete(tmp_path):
    from fineq.common.errors import FineqError

    directory = make_model("llama", tmp_path / "model")
    tensors = load_file(directory / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    with pytest.raises(FineqError, match="lm_head.weight is in none of the weight files"):
        quantized(directory, tmp_path / "q")


@pytest.mark.parametrize("architecture", ["llama", "llama-tied", "mixtral", "gpt2"])
@pytest.mark.parametrize("embeddings", [False, True])
def test_number_of_weights(architecture, embeddings, tmp_path):
    source, packed = quantize_model(architecture, tmp_path, Options(embeddings=embeddings))
    before, after = load(source), load(packed)
    untied = before.get_input_embeddings().weight.numel() * (embeddings and before.config.tie_word_embeddings)
    assert after.num_parameters() == before.num_parameters() + untied
    body = before.num_parameters(exclude_embeddings=True)
    assert after.num_parameters(exclude_embeddings=True) == body + untied
    assert after.dequantize().num_parameters() == before.num_parameters() + untied


def test_saving_an_offloaded_model(tmp_path):
    pytest.importorskip("accelerate")
    _, directory = quantize_model("llama", tmp_path)
    places = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk", "model.norm": "cpu",
              "model.rotary_emb": "cpu", "lm_head": "cpu"}  # fmt: skip
    model = load(directory, device_map=places, offload_folder=str(tmp_path / "offload"))
    expected = logits(load(directory))
    torch.testing.assert_close(logits(model), expected)
    model.save_pretrained(tmp_path / "again")
    torch.testing.assert_close(logits(load(tmp_path / "again")), expected)
    one, other = (files(path)["model.safetensors"] for path in (directory, tmp_path / "again"))
    assert len(one) == len(other)
