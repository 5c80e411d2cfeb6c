"""Quantized models inside transformers: loading, saving, every architecture, and what is refused."""

import pytest
import torch
from helpers.models.quantized_models import (
    IDS,
    assert_same_logits,
    assert_same_tensors,
    load,
    logits,
    quantize_model,
    tensors,
)
from helpers.models.tiny_models import CONFIGS, make_model
from transformers import AutoConfig, AutoModel, AutoTokenizer, LlamaForCausalLM

import fineq
from fineq.checkpoint.planning import Options
from fineq.common.errors import FineqError
from fineq.huggingface.linear import FineqEmbedding, FineqExperts, FineqLinear, PackedModule
from fineq.models.language_model import block_linears, get_weight, set_weight


@pytest.mark.parametrize("architecture", CONFIGS)
def test_every_architecture(architecture, tmp_path):
    """The loaded model computes what the full-precision model does with dequantized weights; saving it again
    keeps every bit."""
    source, quantized = quantize_model(architecture, tmp_path)
    model, reference = load(quantized), load(source)
    before = logits(reference)
    names = block_linears(reference)
    for name in names:
        set_weight(reference, name, fineq.quantize(get_weight(reference, name), "mse").dequantize())
    assert_same_logits(model, reference)
    assert not torch.allclose(logits(model), before, atol=0.01)
    packed = [module for module in model.modules() if isinstance(module, FineqLinear | FineqExperts)]
    assert sum(len(module.fineq_blocks) if isinstance(module, FineqExperts) else 1 for module in packed) == len(names)
    model.save_pretrained(tmp_path / "again")
    assert_same_tensors(tensors(quantized), tensors(tmp_path / "again"))
    assert torch.equal(logits(load(tmp_path / "again")), logits(model))


@pytest.mark.parametrize("architecture", ["llama", "llama-tied", "gpt2", "gpt_neox", "opt"])
@pytest.mark.parametrize("embeddings, lm_head", [(True, False), (False, True), (True, True)])
def test_embeddings_and_head(architecture, embeddings, lm_head, tmp_path):
    options = Options(embeddings=embeddings, lm_head=lm_head)
    source, quantized = quantize_model(architecture, tmp_path, options)
    model, reference = load(quantized), load(source)
    for name in block_linears(reference):
        set_weight(reference, name, fineq.quantize(get_weight(reference, name), "mse").dequantize())
    embedding, head = reference.get_input_embeddings(), reference.get_output_embeddings()
    matrix = embedding.weight.detach()
    if lm_head:
        head.weight = torch.nn.Parameter(fineq.quantize(head.weight, "mse").dequantize())
    if embeddings:
        embedding.weight = torch.nn.Parameter(fineq.quantize(matrix, "mse").dequantize())
    assert isinstance(model.get_input_embeddings(), FineqEmbedding) == embeddings
    assert isinstance(model.get_output_embeddings(), FineqLinear) == lm_head
    assert_same_logits(model, reference)
    model.save_pretrained(tmp_path / "again")
    assert_same_tensors(tensors(quantized), tensors(tmp_path / "again"))


def test_experts_that_the_files_already_stack(tmp_path):
    source, quantized = quantize_model("mixtral", tmp_path, save_original_format=False)
    assert any(name.endswith("experts.gate_up_proj.fineq_blocks") for name in tensors(quantized))
    apart, reference = quantize_model("mixtral", tmp_path / "apart")
    model = load(quantized)
    assert_same_logits(model, load(reference))
    model.save_pretrained(tmp_path / "again")
    assert_same_tensors(tensors(quantized), tensors(tmp_path / "again"))
    assert torch.equal(logits(load(tmp_path / "again")), logits(model))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, tmp_path):
    _, quantized = quantize_model("qwen2", tmp_path, dtype=dtype)
    model = load(quantized)
    assert model.dtype == dtype and logits(model).dtype == dtype
    wide = load(quantized, dtype=torch.float32)
    assert logits(wide).dtype == torch.float32
    assert torch.allclose(logits(wide), logits(model).float(), atol=0.3)
    assert_same_tensors({n: b for n, b in wide.named_buffers() if "fineq" in n},
                        {n: b for n, b in model.named_buffers() if "fineq" in n})  # fmt: skip


def test_scales_survive_conversion(tmp_path):
    _, quantized = quantize_model("llama", tmp_path)
    model = load(quantized)
    scales = model.model.layers[0].mlp.up_proj.fineq_scales.clone()
    model.model.layers[0].mlp.half().float()
    assert torch.equal(model.model.layers[0].mlp.up_proj.fineq_scales, scales)


def test_shards_and_generation(tmp_path):
    source, quantized = quantize_model("llama", tmp_path, max_shard_size="30KB")
    assert len(list(quantized.glob("*.safetensors"))) > 2
    single = tmp_path / "single"
    load(quantized).save_pretrained(single)
    assert len(list(single.glob("*.safetensors"))) == 1
    load(single).save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    models = [load(directory) for directory in (quantized, single, tmp_path / "sharded")]
    tokenizer = AutoTokenizer.from_pretrained(quantized)
    prompt = tokenizer("a b c", return_tensors="pt")
    outputs = [model.generate(**prompt, max_new_tokens=8, min_new_tokens=8, do_sample=False)[0] for model in models]
    assert len(outputs[0]) == 11
    assert all(torch.equal(outputs[0], output) for output in outputs)


def test_base_model_without_head(tmp_path):
    _, quantized = quantize_model("llama", tmp_path)
    hidden = AutoModel.from_pretrained(quantized)(IDS).last_hidden_state
    assert torch.equal(hidden, load(quantized).model(IDS).last_hidden_state)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "mixtral"])
def test_dequantize(architecture, tmp_path):
    _, quantized = quantize_model(architecture, tmp_path, Options(embeddings=True))
    model, plain = load(quantized), load(quantized)
    plain.dequantize()
    assert not any(isinstance(module, PackedModule) for module in plain.modules())
    assert_same_logits(model, plain)


def test_memory_stays_packed(tmp_path):
    _, quantized = quantize_model("llama", tmp_path)
    layer = load(quantized).model.layers[0].mlp.down_proj
    before = sum(t.numel() * t.element_size() for t in [*layer.parameters(), *layer.buffers()])
    assert before == 48 * (4 * 7 + 4) + 1
    layer(torch.zeros(3, 80))
    assert sum(t.numel() * t.element_size() for t in [*layer.parameters(), *layer.buffers()]) == before


def test_column_recipe(tmp_path):
    source, quantized = quantize_model("llama", tmp_path, Options(recipe="paper-column"))
    model, reference = load(quantized), load(source)
    for name in block_linears(reference):
        set_weight(reference, name, fineq.quantize(get_weight(reference, name), "paper-column").dequantize())
    assert_same_logits(model, reference)


# -- refusals ----------------------------------------------------------------------------------------------------


def test_quantizing_on_the_fly_is_refused(tmp_path):
    from fineq.huggingface.config import FineqConfig

    source = make_model("llama", tmp_path / "source")
    with pytest.raises(FineqError, match="from_pretrained cannot quantize: run `fineq quantize` and load"):
        load(source, quantization_config=FineqConfig())


def test_loading_from_a_state_dict_is_refused(tmp_path):
    _, quantized = quantize_model("llama", tmp_path)
    config = AutoConfig.from_pretrained(quantized)
    with pytest.raises(FineqError, match="can only be loaded from a directory, so that its checksums can be checked"):
        LlamaForCausalLM.from_pretrained(None, config=config, state_dict=tensors(quantized))


def test_packed_layer_that_the_model_lacks(tmp_path):
    """The config says that the model has fewer inputs than the packed matrix."""
    from fineq.checkpoint.fileformat import PackedEntry
    from fineq.huggingface.swap import swap_layers

    model = load(make_model("llama", tmp_path / "source"))
    with pytest.raises(FineqError, match=r"up_proj has shape \[80, 47\], the model's layer \[80, 48\]"):
        swap_layers(model, {"a": PackedEntry("model.layers.0.mlp.up_proj", (80, 47), "row")})
    with pytest.raises(FineqError, match="model.norm is packed, but LlamaForCausalLM has no layer there that could be"):
        swap_layers(model, {"a": PackedEntry("model.norm", (80, 48), "row")})
