"""Naming, reading, replacing and observing the linear layers of real architectures with random weights."""

import json
import shutil

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from fineq.common.errors import FineqError
from fineq.huggingface.loading import load_model, load_tokenizer
from fineq.models.activations import capture_activations
from fineq.models.directory import check_model_directory, model_fingerprint
from fineq.models.language_model import block_linears, fake_quantize_model, get_weight, set_weight
from fineq.models.locations import shipped_model_path

SIZES = {
    "vocab_size": 64,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32,
}
# Architecture -> (options, linears a block, some names).
ARCHITECTURES = {
    "llama": ({"tie_word_embeddings": True}, 7, ["model.layers.1.mlp.gate_proj"]),
    "mistral": ({}, 7, ["model.layers.0.self_attn.k_proj"]),
    "qwen2": ({}, 7, ["model.layers.0.self_attn.q_proj"]),
    "qwen3": ({"head_dim": 12}, 7, ["model.layers.0.self_attn.o_proj"]),
    "gpt2": ({"n_embd": 24, "n_layer": 2, "n_head": 2, "n_positions": 32}, 4, ["transformer.h.0.attn.c_attn"]),
    "opt": ({"ffn_dim": 40, "word_embed_proj_dim": 24}, 6, ["model.decoder.layers.1.fc2"]),
    "gpt_neox": ({}, 4, ["gpt_neox.layers.0.attention.query_key_value"]),
    "mixtral": ({"num_local_experts": 4}, 4 + 2 * 4, ["model.layers.0.mlp.experts.gate_up_proj.3"]),
    "qwen2_moe": (
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 20, "decoder_sparse_step": 1},
        4 + 2 * 4 + 3,
        ["model.layers.0.mlp.shared_expert.up_proj", "model.layers.0.mlp.experts.down_proj.0"],
    ),
}
TOKENS = torch.arange(2 * 16).reshape(2, 16) % 64


def build(architecture):
    torch.manual_seed(0)
    options = ARCHITECTURES[architecture][0]
    config = AutoConfig.for_model(architecture, **(SIZES | options))
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.fixture(params=ARCHITECTURES)
def model(request):
    model = build(request.param)
    model.expected = ARCHITECTURES[request.param][1:]
    return model


def test_every_linear_of_the_blocks_is_named_once(model):
    names = block_linears(model)
    count, some = model.expected
    assert len(names) == len(set(names)) == 2 * count
    assert set(some) <= set(names)
    assert not [name for name in names if "lm_head" in name or "embed" in name or name.endswith(".gate")]


def test_weights_are_out_by_in_and_can_be_replaced(model):
    for name in block_linears(model):
        weight = get_weight(model, name)
        replacement = torch.randn_like(weight)
        set_weight(model, name, replacement)
        assert torch.equal(get_weight(model, name), replacement)
        with pytest.raises(FineqError, match="has shape .*, not .*: give"):
            set_weight(model, name, torch.zeros(3, 5))
    by_path = dict(model.named_modules())
    conv = [name for name in block_linears(model) if isinstance(by_path.get(name), Conv1D)]
    for name in conv:
        assert torch.equal(get_weight(model, name), by_path[name].weight.T)


def test_captured_inputs_times_weight_are_the_real_outputs(model):
    modules = dict(model.named_modules())
    names = [name for name in block_linears(model) if name in modules]
    outputs = {name: [] for name in names}
    for name in names:
        modules[name].register_forward_hook(lambda module, inputs, output, name=name: outputs[name].append(output))
    captured = capture_activations(model, TOKENS, names)
    for name in names:
        real = torch.cat([output.reshape(-1, output.shape[-1]) for output in outputs[name]])
        bias = modules[name].bias
        expected = captured[name] @ get_weight(model, name).T + (0 if bias is None else bias)
        torch.testing.assert_close(expected, real, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("architecture", ["mixtral", "qwen2_moe"])
def test_captured_inputs_of_experts_give_the_real_output_of_the_mixture(architecture):
    model = build(architecture)
    experts = model.model.layers[0].mlp.experts
    calls = []
    experts.register_forward_hook(lambda module, arguments, output: calls.append((arguments, output)))
    path = "model.layers.0.mlp.experts"
    names = [name for name in block_linears(model) if name.startswith(path)]
    captured = capture_activations(model, TOKENS[:1], names)
    (_, chosen, shares), real = calls[0]
    total = torch.zeros_like(real)
    for expert in range(4):
        tokens, ranks = torch.where(chosen == expert)
        assert captured[f"{path}.gate_up_proj.{expert}"].shape == (len(tokens), 24)
        down = captured[f"{path}.down_proj.{expert}"] @ get_weight(model, f"{path}.down_proj.{expert}").T
        total[tokens] += down * shares[tokens, ranks, None]
    torch.testing.assert_close(total, real, rtol=1e-4, atol=1e-7)


def test_fake_quantization_touches_the_block_linears_alone(model):
    with torch.no_grad():
        before = model(input_ids=TOKENS).logits
        fake_quantize_model(model, lambda weight, name: (weight.clone(), 32.0))
        assert torch.equal(model(input_ids=TOKENS).logits, before)
        parameters = {name: value.clone() for name, value in model.named_parameters()}
        reports = fake_quantize_model(model, lambda weight, name: (torch.zeros_like(weight), 1.5))
        assert not torch.equal(model(input_ids=TOKENS).logits, before)
    assert [report.name for report in reports] == block_linears(model)
    assert {(report.bits_per_weight, report.normalised_error) for report in reports} == {(1.5, 1.0)}
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, parameters[name])}
    weights = [name.removesuffix(".weight") for name in changed]
    assert all(any(linear.startswith(name) for linear in block_linears(model)) for name in weights)
    assert changed


def test_unknown_layer_names_are_refused():
    model = build("llama")
    for name in ("model.layers.0.mlp.nothing", "model.norm", "model.layers.0.mlp.down_proj.1"):
        with pytest.raises(FineqError, match=f"the model has no linear layer '{name}'"):
            get_weight(model, name)


def test_unknown_place_of_blocks_is_refused():
    model = build("llama")
    model.model.layers = torch.nn.Identity()
    with pytest.raises(FineqError, match="LlamaForCausalLM has no list of decoder blocks"):
        block_linears(model)


# -- the shipped model and bad directories ---------------------------------------------------------------------


def test_shipped_model_is_small_and_writes_stories():
    path = shipped_model_path()
    assert sum(file.stat().st_size for file in path.iterdir()) < 3_000_000
    model, tokenizer = load_model(path), load_tokenizer(path)
    assert 500_000 < sum(weight.numel() for weight in model.parameters()) < 1_000_000
    assert len(block_linears(model)) == 28
    prompt = tokenizer("Once upon a time", return_tensors="pt").input_ids
    assert prompt[0, 0] == tokenizer.bos_token_id
    story = tokenizer.decode(model.generate(prompt, max_new_tokens=60, do_sample=False)[0], skip_special_tokens=True)
    assert story.startswith("Once upon a time, there was a ")
    text = "any text: Ünïcode 42"
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(shipped_model_path(), tmp_path / "model")


def test_fingerprint_follows_the_weights(copy):
    first = model_fingerprint(copy)
    assert first == model_fingerprint(shipped_model_path())
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert model_fingerprint(copy) != first


def damage_nothing(path):
    shutil.rmtree(path)


def damage_config(path):
    (path / "config.json").unlink()


def damage_json(path):
    (path / "config.json").write_text("{")


def damage_architecture(path):
    (path / "config.json").write_text('{"model_type": "llama"}')


def damage_weights(path):
    (path / "model.safetensors").unlink()


def damage_bytes(path):
    (path / "model.safetensors").write_bytes(b"123")


def damage_index(path):
    (path / "model.safetensors.index.json").write_text('{"weight_map": {}}')


def damage_shard(path):
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))


def damage_names(path):
    (path / "model.safetensors.index.json").write_text('{"weight_map": {"absent": "model.safetensors"}}')


@pytest.mark.parametrize(
    "damage, text",
    [
        (damage_nothing, "is not a directory: give a local model directory"),
        (damage_config, "has no config.json: the model's configuration must lie beside the weights"),
        (damage_json, "config.json: it is not valid JSON"),
        (damage_architecture, "config.json names no architecture: it needs 'architectures' and 'model_type'"),
        (damage_weights, "lacks the weight file model.safetensors: .* complete the download"),
        (damage_bytes, "cannot read .*model.safetensors: "),
        (damage_index, "has no 'weight_map': download the model again"),
        (damage_shard, "lacks the weight file model-2.safetensors"),
        (damage_names, "places absent in model.safetensors, which does not hold it"),
    ],
)
def test_damaged_directories_are_refused_in_one_sentence(copy, damage, text):
    damage(copy)
    with pytest.raises(FineqError, match=text) as error:
        check_model_directory(copy)
    assert "\n" not in str(error.value)
    with pytest.raises(FineqError):
        load_model(copy)


def test_absent_weights_are_not_filled_with_random_ones(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 5}))
    with pytest.raises(FineqError, match="lack model.layers.4"):
        load_model(copy)


def test_missing_tokenizer_is_refused(copy):
    for file in copy.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(FineqError, match="cannot load the tokenizer of"):
        load_tokenizer(copy)
