"""Quantized models inside transformers: loading, saving, every architecture, and refusal without FineQ."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import CONFIGS, make_model
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

import fineq
from fineq.checkpoint.planning import Options
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source
from fineq.common.errors import FineqError
from fineq.huggingface import register
from fineq.huggingface.linear import FineqEmbedding, FineqExperts, FineqLinear, PackedModule, decode, packed_linear
from fineq.models.language_model import block_linears, get_weight, set_weight

IDS = torch.arange(3, 43).view(2, 20)


def quantize_model(architecture, directory, options=None, **making):
    source = make_model(architecture, directory / "source", **making)
    quantize_checkpoint(open_source(source), directory / "quantized", options or Options())
    return source, directory / "quantized"


def load(directory, **options):
    return AutoModelForCausalLM.from_pretrained(directory, **options)


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def assert_same_logits(model, reference):
    """Up to the order in which a matrix multiplication sums."""
    torch.testing.assert_close(logits(model), logits(reference), rtol=1e-5, atol=1e-4)


def tensors(directory) -> dict[str, torch.Tensor]:
    return {name: t for file in directory.glob("*.safetensors") for name, t in load_file(file).items()}


def assert_same_tensors(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype and torch.equal(tensor, other[name]), name


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


@pytest.mark.parametrize("shape", [(1, 1), (5, 23), (4, 24), (7, 25), (3, 49), (300, 100)])
@pytest.mark.parametrize("axis", ["row", "column"])
@pytest.mark.parametrize("native", ["0", "1"])
def test_packed_linear(shape, axis, native, monkeypatch):
    monkeypatch.setenv("FINEQ_NATIVE", native)
    monkeypatch.setattr("fineq.huggingface.linear.DECODED_WEIGHTS", 1000)
    torch.manual_seed(0)
    packed = fineq.quantize(torch.randn(shape), "mse", axis=axis)
    channels, length = shape if axis == "row" else shape[::-1]
    weights = decode(packed.blocks, packed.scales, length)
    assert torch.equal(weights if axis == "row" else weights.T, packed.dequantize())
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        x = torch.randn(2, 3, shape[1]).to(dtype)
        y = packed_linear(x, packed.blocks, packed.scales, shape, axis)
        expected = torch.nn.functional.linear(x, packed.dequantize(dtype))
        assert y.dtype == dtype and y.shape == (2, 3, shape[0])
        assert torch.allclose(y, expected, atol={torch.float32: 1e-5}.get(dtype, 0.15))


def test_decode_of_every_block_pattern():
    """All index codes with all payload bits, also those that the packer never writes."""
    generator = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, 256, (500, 21), dtype=torch.uint8, generator=generator)
    packed = fineq.PackedWeight(blocks, torch.rand(500, generator=generator), (500, 70))
    assert torch.equal(decode(blocks, packed.scales, 70), packed.dequantize())


# -- refusals ----------------------------------------------------------------------------------------------------


def run_python(script: str, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True)


def test_without_fineq_loading_fails(tmp_path):
    """Fresh random weights in the place of packed ones would be worse than an error."""
    directories = [
        quantize_model("llama", tmp_path / "1")[1],
        quantize_model("gpt2", tmp_path / "2")[1],
        quantize_model("mixtral", tmp_path / "3")[1],
        quantize_model("mixtral", tmp_path / "4", save_original_format=False)[1],
        quantize_model("llama", tmp_path / "5", Options(include=("*layers.1.mlp.up_proj.weight",)))[1],
        quantize_model("mixtral", tmp_path / "6", Options(include=("*.experts.*",)), save_original_format=False)[1],
    ]
    load(directories[0]).save_pretrained(tmp_path / "7")
    script = """
import sys
from transformers import AutoModelForCausalLM
assert "fineq" not in sys.modules
for directory in sys.argv[1:]:
    try:
        AutoModelForCausalLM.from_pretrained(directory)
        print("loaded", directory)
    except RuntimeError as error:
        assert "mismatched" in str(error), error
        print("refused")
"""
    result = run_python(script, *directories, tmp_path / "7")
    assert result.stdout == "refused\n" * 7, result.stdout + result.stderr


def test_import_is_cheap():
    script = "import sys, fineq; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert run_python(script).returncode == 0


def test_import_before_transformers(tmp_path):
    _, quantized = quantize_model("llama", tmp_path)
    script = """
import sys
import fineq
from transformers import AutoModelForCausalLM
AutoModelForCausalLM.from_pretrained(sys.argv[1])
assert not any(type(finder).__module__.startswith("fineq") for finder in sys.meta_path)
print("loaded")
"""
    result = run_python(script, quantized)
    assert result.stdout == "loaded\n", result.stderr


def test_import_after_transformers(monkeypatch):
    from transformers.quantizers import auto

    for table in (auto.AUTO_QUANTIZER_MAPPING, auto.AUTO_QUANTIZATION_CONFIG_MAPPING):
        monkeypatch.delitem(table, "fineq")
    for module in ("config", "quantizer"):
        monkeypatch.delitem(sys.modules, f"fineq.huggingface.{module}")
    register()
    register()
    assert auto.AUTO_QUANTIZER_MAPPING["fineq"].__name__ == "FineqHfQuantizer"
    assert auto.AUTO_QUANTIZATION_CONFIG_MAPPING["fineq"].__name__ == "FineqConfig"


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
