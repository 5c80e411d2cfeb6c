"""`fineq quantize` from start to end: output, report, patterns, calibrated recipes."""

import json

import pytest
import torch
from helpers.models.tiny_models import files, make_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import fineq
from fineq.checkpoint.planning import Options
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source


def test_output(quantize, llama, tmp_path):
    code, output, error = quantize(llama, "-o", tmp_path / "q")
    assert code == 0, error
    lines = output.splitlines()
    assert lines[0].split() == "tensor shape bits error 3-bit clusters disagreeing pairs".split()
    assert lines[1].split()[:5] == ["model.layers.0.self_attn.q_proj", "48", "x", "48", "3.000"]
    assert lines[15].startswith("14 tensors quantized, normalised error 0.1")
    assert lines[16] == "7 tensors kept:"
    assert lines[17:20] == [
        "      5  norm, bias or other vector, such as model.layers.0.input_layernorm.weight",
        "      1  input embedding: --embeddings packs it, such as model.embed_tokens.weight",
        "      1  output head: --lm-head packs it, such as lm_head.weight",
    ]
    assert lines[20].startswith("quantized layers take 3.")
    unknown = "the original itself cannot foretell"
    assert lines[21].startswith(f"recipe mse, chosen because the model could not be measured: {unknown}")
    assert lines[22].startswith(f"effect on the model not measured: {unknown}")
    assert lines[23] == f"written to {tmp_path / 'q'}"
    assert error.splitlines()[-1].startswith("100%") and "s left" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q"]
    written = files(tmp_path / "q")
    assert {"config.json", "README.md", "fineq_report.json", "tokenizer.json", "tokenizer_config.json"} <= set(written)
    assert "journal.jsonl" not in written
    settings = json.loads(written["config.json"])["quantization_config"]
    assert (settings["quant_method"], settings["recipe"], settings["axis"]) == ("fineq", "mse", "row")
    assert settings["tensors"]["model.layers.1.mlp.up_proj"] == [80, 48]
    assert "model.embed_tokens" not in str(settings)


def test_figures_of_the_report(quantize, llama, tmp_path):
    """The table's figures against a direct computation, and the card's sizes against the files."""
    quantize(llama, "-o", tmp_path / "q", "--recipe", "paper")
    weight = load_file_of(llama, "model.layers.1.mlp.up_proj.weight")
    packed = fineq.quantize(weight, "paper")
    report = json.loads((tmp_path / "q" / "fineq_report.json").read_text())
    layer = next(line for line in report["layers"] if line["tensor"] == "model.layers.1.mlp.up_proj")
    assert layer["normalised_error"] == pytest.approx(fineq.normalised_error(weight, packed), abs=1e-6)
    assert layer["bits_per_weight"] == pytest.approx(packed.bits_per_weight(), abs=1e-4)
    index = packed.index()
    assert layer["share_of_3_bit_clusters"] == pytest.approx((index > 0).float().mean().item(), abs=1e-6)
    clusters = weight.abs().view(80, 16, 3)
    own = torch.where(clusters.amax(2) > 4 * clusters.amin(2), 1 + clusters.argmin(2), 0).view(80, 8, 2)
    disagree = (own[..., 0] != own[..., 1]).float().mean().item()
    assert layer["share_of_disagreeing_pairs"] == pytest.approx(disagree, abs=1e-6)
    stored = [t for file in (tmp_path / "q").glob("*.safetensors") for t in load_file(file).items()]
    total = sum(t.numel() * t.element_size() for _, t in stored)
    quantized = sum(t.numel() * t.element_size() for name, t in stored if "proj" in name)
    weights = sum(rows * columns for rows, columns in map(lambda line: line["shape"], report["layers"]))
    kept = sum(t.numel() for name, t in stored if "proj" not in name)
    card = (tmp_path / "q" / "README.md").read_text()
    assert f"quantized layers (scales and padding included) | {8 * quantized / weights:.3f} |" in card
    assert f"bits per weight, whole model | {8 * total / (weights + kept):.3f} |" in card
    assert f"| size of all tensors | {total:,} bytes |" in card


def load_file_of(directory, name):
    return next(tensors[name] for file in directory.glob("*.safetensors") if name in (tensors := load_file(file)))


def test_same_bytes_every_time(quantize, llama, tmp_path):
    quantize(llama, "-o", tmp_path / "a")
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        quantize(llama, "-o", tmp_path / "b")
    finally:
        torch.set_num_threads(threads)
    assert files(tmp_path / "a") == files(tmp_path / "b")


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_chunks_do_not_matter(architecture, tmp_path, monkeypatch):
    source = open_source(make_model(architecture, tmp_path / "model"))
    quantize_checkpoint(source, tmp_path / "a", Options())
    monkeypatch.setattr("fineq.checkpoint.pack.CHUNK_WEIGHTS", 500)
    monkeypatch.setattr("fineq.checkpoint.container.PIECE_BYTES", 100)
    quantize_checkpoint(source, tmp_path / "b", Options())
    assert files(tmp_path / "a")["model.safetensors"] == files(tmp_path / "b")["model.safetensors"]


def test_patterns(quantize, llama, tmp_path):
    code, output, _ = quantize(llama, "-o", tmp_path / "q", "--include", "*.mlp.*", "--exclude", "*.0.*", "--dry-run")
    assert code == 0
    names = [line.split()[0] for line in output.splitlines()[1:4]]
    assert names == [f"model.layers.1.mlp.{name}_proj" for name in ("gate", "up", "down")]
    assert output.splitlines()[4:6] == ["3 tensors to quantize", "18 tensors kept:"]
    assert "      8  not in --include, such as model.layers.0.self_attn." in output
    assert "      3  excluded by --exclude, such as model.layers.0.mlp." in output
    assert "would take" in output.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_routers_are_kept_and_the_report_says_why(quantize, tmp_path):
    """Hunyuan's router is a linear layer of a name like no other's."""
    model = make_model("hunyuan_v1_moe", tmp_path / "model")
    code, output, error = quantize(model, "-o", tmp_path / "q")
    assert code == 0, error
    reason = "router: its outputs become indices"
    assert f"      2  {reason}, such as model.layers.0.mlp.gate.wg.weight" in output
    report = json.loads((tmp_path / "q" / "fineq_report.json").read_text())
    assert {"tensor": "model.layers.1.mlp.gate.wg.weight", "why": reason} in report["kept"]
    assert f"| {reason} | 2 | model.layers.0.mlp.gate.wg.weight |" in (tmp_path / "q" / "README.md").read_text()


def test_excluding_what_is_kept_anyway(quantize, llama, tmp_path):
    code, _, error = quantize(llama, "-o", tmp_path / "q", "--exclude", "*embed*", "--dry-run")
    assert code == 0, error
    code, _, error = quantize(llama, "-o", tmp_path / "q", "--exclude", "*nonsense*", "--dry-run")
    assert code == 1 and "the pattern '*nonsense*' matches no tensor" in error


def test_embeddings_and_head(quantize, llama, tmp_path):
    code, output, _ = quantize(llama, "-o", tmp_path / "q", "--embeddings", "--lm-head", "--exclude", "*layers*")
    assert code == 0 and "2 tensors quantized" in output
    assert set(json.loads((tmp_path / "q" / "config.json").read_text())["quantization_config"]["tensors"]) == {
        "model.embed_tokens",
        "lm_head",
    }


@pytest.mark.parametrize("architecture", ["llama", pytest.param("gpt2", marks=pytest.mark.regress), "mixtral"])
def test_calibrated_recipe(architecture, quantize, tmp_path):
    """What the recipe makes of the model in memory is what the directory gives when it is loaded."""
    from fineq.calibrated import quantize_model
    from fineq.huggingface.loading import load_model, load_tokenizer

    model = make_model(architecture, tmp_path / "model")
    text = " ".join("abcdefghij"[n * n % 7 + n % 3] for n in range(150))
    (tmp_path / "text.txt").write_text(text)
    code, _, error = quantize(
        model, "-o", tmp_path / "q", "--recipe", "calibrated", "--calibration", tmp_path / "text.txt"
    )
    assert code == 0, error
    expected = load_model(model)
    token_ids = load_tokenizer(model)(text, add_special_tokens=False, return_tensors="pt").input_ids[0]
    quantize_model(expected, token_ids, "calibrated")
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        difference = AutoModelForCausalLM.from_pretrained(tmp_path / "q")(ids).logits - expected(ids).logits
    assert difference.abs().max() < 1e-4
