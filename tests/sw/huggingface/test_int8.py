"""Embedding and output head with 8 bits: tied and untied, from quantizing to loading, saving and evaluating."""

import copy
import json
import pickle

import pytest
import torch
from helpers.models.calibration import TEXT
from helpers.models.quantized_models import (
    IDS,
    assert_same_logits,
    assert_same_tensors,
    load,
    logits,
    quantize_model,
    tensors,
)
from helpers.models.tiny_models import make_model
from helpers.running.command_line import run_fineq
from transformers import AutoModel

import fineq
from fineq.checkpoint.card import measure_sizes
from fineq.checkpoint.planning import Options, make_plan
from fineq.checkpoint.source import open_source
from fineq.common.errors import FineqError
from fineq.evaluation.methods import find_method
from fineq.evaluation.stored_methods import method_for
from fineq.huggingface.int8 import Int8Embedding, Int8Linear, Int8TiedLinear
from fineq.models.language_model import block_linears, get_weight, set_weight
from fineq.operators import int8
from fineq.operators.int8 import dequantize_int8, int8_linear, quantize_int8

BOTH = Options(embeddings=True, lm_head=True, outside="int8")
VOCABULARY, WIDTH = 61, 48


def rounded(weight):
    """The definition, value by value."""
    scale = weight.abs().amax(dim=1, keepdim=True) / 127
    return torch.round(weight / scale) * scale


def reference_of(source, options):
    """The full-precision model with the weights that the packed ones stand for."""
    model = load(source)
    for name in block_linears(model):
        set_weight(model, name, fineq.quantize(get_weight(model, name), "mse").dequantize())
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    matrix, heads = embedding.weight.detach(), head.weight.detach()
    if options.embeddings:
        embedding.weight = torch.nn.Parameter(rounded(matrix))
    if options.lm_head:
        head.weight = torch.nn.Parameter(rounded(heads))
    return model


# -- the numbers -----------------------------------------------------------------------------------------------


def test_codes_are_the_nearest_and_scales_positive():
    weight = torch.randn(7, 30, generator=torch.Generator().manual_seed(0))
    weight[3], weight[4] = 0, 1e-44
    codes, scales = quantize_int8(weight)
    assert codes.dtype == torch.int8 and scales.dtype == torch.float32 and (scales > 0).all()
    assert codes[3].eq(0).all() and codes.abs().amax(dim=1)[[0, 1, 2, 5, 6]].eq(127).all() and codes.min() >= -127
    error = (dequantize_int8(codes, scales) - weight).abs()
    assert (error <= scales[:, None] / 2 * (1 + 1e-5)).all()


@pytest.mark.parametrize("chunk", [1, 100, 10**6])
def test_the_product_is_that_of_the_dequantized_weights(monkeypatch, chunk):
    monkeypatch.setattr(int8, "CHUNK_WEIGHTS", chunk)
    weight, x = torch.randn(11, 30), torch.randn(2, 3, 30, requires_grad=True)
    codes, scales = quantize_int8(weight)
    y, expected = int8_linear(x, codes, scales), x @ dequantize_int8(codes, scales).T
    torch.testing.assert_close(y, expected)
    gradient = torch.autograd.grad(y.square().sum(), x)[0]
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.square().sum(), x)[0])
    half = int8_linear(x.detach().bfloat16(), codes, scales)
    assert half.dtype == torch.bfloat16 and torch.allclose(half.float(), expected, atol=0.3)


class Ends(torch.nn.Module):
    """An embedding and the head that is tied to it."""

    def __init__(self):
        super().__init__()
        self.embedding = Int8Embedding(30, 50)
        codes, scales = quantize_int8(torch.randn(30, 50, generator=torch.Generator().manual_seed(0)))
        self.embedding.fineq_int8.copy_(codes)
        self.embedding.fineq_scales.copy_(scales)
        self.head = Int8TiedLinear(self.embedding)

    def forward(self, ids):
        return self.head(self.embedding(ids))


def test_a_tied_head_compiles_and_can_be_exported():
    model, ids = Ends(), torch.arange(12).view(2, 6)
    expected = model(ids)
    assert torch.equal(torch.compile(model, backend="eager", fullgraph=True)(ids), expected)
    exported = torch.export.export(model, (ids,))
    assert torch.equal(exported.module()(ids), expected)
    assert sum(name.endswith("fineq_int8") for name in exported.state_dict) == 1


# -- whole models ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "architecture, embeddings, lm_head",
    [
        ("llama", True, False),
        ("llama", False, True),
        ("llama", True, True),
        ("gpt2", True, True),
        ("llama-tied", True, True),
    ],
)
def test_it_computes_what_the_dequantized_weights_do(architecture, embeddings, lm_head, tmp_path):
    options = Options(embeddings=embeddings, lm_head=lm_head, outside="int8")
    source, quantized = quantize_model(architecture, tmp_path, options)
    model, reference = load(quantized), reference_of(source, options)
    is_tied = architecture != "llama"
    assert isinstance(model.get_input_embeddings(), Int8Embedding) == embeddings
    assert isinstance(model.get_output_embeddings(), Int8TiedLinear if is_tied else Int8Linear) == lm_head
    assert_same_logits(model, reference)
    model.save_pretrained(tmp_path / "again")
    assert_same_tensors(tensors(quantized), tensors(tmp_path / "again"))
    assert torch.equal(logits(load(tmp_path / "again")), logits(model))
    assert model.num_parameters() == load(source).num_parameters()
    plain = load(quantized)
    plain.dequantize()
    assert_same_logits(model, plain)


def test_a_tied_matrix_is_stored_and_held_once(tmp_path):
    _, quantized = quantize_model("llama-tied", tmp_path, BOTH)
    stored = {name: t for name, t in tensors(quantized).items() if "layers" not in name and "norm" not in name}
    assert {name: t.shape for name, t in stored.items()} == {
        "model.embed_tokens.fineq_int8": (VOCABULARY, WIDTH),
        "model.embed_tokens.fineq_scales": (VOCABULARY,),
        "model.embed_tokens.weight": (1,),
    }
    model = load(quantized)
    for other in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model)), load(quantized).to(torch.bfloat16)):
        assert other.lm_head.embedding is other.model.embed_tokens
        assert not list(other.lm_head.buffers()) and not list(other.lm_head.parameters())
        assert other.model.embed_tokens.fineq_scales.dtype == torch.float32
    assert copy.deepcopy(model).model.embed_tokens is not model.model.embed_tokens
    with torch.no_grad():
        assert load(quantized).to(torch.bfloat16)(IDS).logits.dtype == torch.bfloat16
    hidden = AutoModel.from_pretrained(quantized)(IDS).last_hidden_state
    assert torch.equal(hidden, model.model(IDS).last_hidden_state)


def test_dequantized_it_is_tied_again(tmp_path):
    _, quantized = quantize_model("llama-tied", tmp_path, BOTH)
    model = load(quantized)
    model.dequantize()
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.all_tied_weights_keys == {"lm_head.weight": "model.embed_tokens.weight"}


@pytest.mark.parametrize("architecture", ["llama", "llama-tied"])
def test_sizes_are_the_true_ones(architecture, tmp_path):
    source, quantized = quantize_model(architecture, tmp_path, BOTH)
    opened = open_source(source)
    copies = 2 if architecture == "llama" else 1
    sizes, before = (measure_sizes(opened, make_plan(opened, options, "row")) for options in (BOTH, Options()))
    weights = copies * VOCABULARY * WIDTH
    saved = weights * 4 - copies * (VOCABULARY * (WIDTH + 4) + 1)
    assert before.total_bytes - sizes.total_bytes == saved
    assert sizes.total_bytes == sum(t.numel() * t.element_size() for t in tensors(quantized).values())
    report = json.loads((quantized / "fineq_report.json").read_text())
    lines = {line["tensor"]: line for line in report["layers"]}
    assert lines["model.embed_tokens"]["bits_per_weight"] == round(8 + 32 / WIDTH, 4)
    assert 0 < lines["model.embed_tokens"]["normalised_error"] < 1e-4
    assert "share_of_3_bit_clusters" not in lines["model.embed_tokens"]
    card = (quantized / "README.md").read_text()
    assert "`model.embed_tokens`" in card and "8 bits per weight and a scale for each row" in card


@pytest.mark.parametrize("architecture", ["llama", "llama-tied"])
def test_the_commands_with_a_calibrated_recipe(architecture, tmp_path):
    model = make_model(architecture, tmp_path / "model")
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    words = ["--embeddings", "--lm-head", "--outside", "int8", "--calibration", text, "--no-check"]
    outcome = run_fineq("quantize", model, "-o", tmp_path / "q", *words)
    assert outcome.code == 0, outcome.stderr
    assert not list(tmp_path.glob("q.*")) and fineq_settings(tmp_path / "q")["recipe"] == "calibrated"
    outcome = run_fineq("eval", tmp_path / "q", "--text", text)
    assert outcome.code == 0, outcome.stderr
    stored = method_for(tmp_path / "q", find_method("none"))
    shares = {True: 0, False: 0}
    for layer in stored.stored:
        shares[layer.name in ("model.embed_tokens", "lm_head")] += layer.shape[0] * layer.shape[1]
    mean = (shares[True] * 8 + shares[False] * 7 / 3) / sum(shares.values())
    assert shares[True] == VOCABULARY * WIDTH * (2 if architecture == "llama" else 1)
    assert stored.nominal_bits == pytest.approx(mean)
    assert run_fineq("generate", tmp_path / "q", "--prompt", "a b", "--tokens", "3").code == 0


def fineq_settings(directory):
    return json.loads((directory / "config.json").read_text())["quantization_config"]


def test_versions(tmp_path):
    """Older releases refuse the new version by its number; without tensors of 8 bits it is the old one."""
    _, quantized = quantize_model("llama-tied", tmp_path / "new", BOTH)
    assert fineq_settings(quantized)["format_version"] == 2
    assert fineq_settings(quantized)["int8_tensors"] == {"model.embed_tokens": [VOCABULARY, WIDTH]}
    _, older = quantize_model("llama-tied", tmp_path / "old")
    assert fineq_settings(older)["format_version"] == 1 and "int8_tensors" not in fineq_settings(older)
    load(older).save_pretrained(tmp_path / "again")
    assert fineq_settings(tmp_path / "again")["format_version"] == 1
    assert "int8_tensors" not in fineq_settings(tmp_path / "again")


# -- refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "architecture, words, message",
    [
        ("llama", ["--outside", "int8"], "is the form of what --embeddings and --lm-head quantize: add one of them"),
        ("llama", ["--lm-head", "--outside", "int4"], "--outside is 'int4': choose one of fineq, int8"),
        (
            "llama-tied",
            ["--lm-head", "--outside", "int8"],
            "are one matrix, which is stored once with 8 bits: add both",
        ),
        ("llama-tied", ["--embeddings", "--outside", "int8"], "are one matrix, which is stored once with 8 bits: add"),
    ],
)
def test_what_does_not_go_together(architecture, words, message, tmp_path):
    model = make_model(architecture, tmp_path / "model")
    outcome = run_fineq("quantize", model, "-o", tmp_path / "q", "--recipe", "mse", "--no-check", *words)
    assert outcome.code == 1 and message in outcome.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_blocks_outside_with_a_calibration_text_and_no_recipe(tmp_path):
    """The recipe is a calibrated one then, and makes blocks of the decoder's layers alone."""
    (tmp_path / "text.txt").write_text(TEXT)
    model = make_model("llama", tmp_path / "model")
    words = ["--lm-head", "--calibration", tmp_path / "text.txt"]
    outcome = run_fineq("quantize", model, "-o", tmp_path / "q", *words)
    assert outcome.code == 1 and "recipe calibrated quantizes the linear layers of the blocks" in outcome.stderr


def test_weights_that_are_no_numbers(tmp_path):
    source = make_model("llama", tmp_path / "model")
    model = load(source)
    with torch.no_grad():
        model.lm_head.weight[5, 7] = torch.nan
    model.save_pretrained(source)
    with pytest.raises(FineqError, match=r"lm_head.weight\[5, 7\] is NaN"):
        fineq.quantize_model(source, tmp_path / "q", "mse", lm_head=True, outside="int8", check=False)
