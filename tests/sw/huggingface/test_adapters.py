"""Adapters learn beside packed weights, which stay as they are."""

import pytest
import torch
from helpers.models.quantized_models import IDS, assert_same_tensors, load, logits, quantize_model
from torch.nn.functional import linear
from transformers import Trainer, TrainingArguments

import fineq
from fineq.checkpoint.planning import Options
from fineq.common.errors import FineqError
from fineq.operators import packed_linear

peft = pytest.importorskip("peft", reason="peft is not installed: pip install 'fineq[adapters]'")

TARGETS = ["q_proj", "down_proj"]


def adapted(directory, **options):
    return peft.get_peft_model(load(directory), peft.LoraConfig(**dict(r=4, target_modules=TARGETS) | options))


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    return quantize_model("llama", tmp_path_factory.mktemp("llama"))[1]


@pytest.mark.parametrize("axis", ["row", "column"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_of_the_product(axis, dtype, monkeypatch):
    monkeypatch.setattr("fineq.operators.product.DECODED_WEIGHTS", 1000)
    torch.manual_seed(0)
    packed = fineq.quantize(torch.randn(130, 100), "mse", axis=axis)
    one = torch.randn(2, 3, 100).to(dtype).requires_grad_()
    other = one.detach().clone().requires_grad_()
    towards = torch.randn(2, 3, 130).to(dtype)
    packed_linear(one, packed.blocks, packed.scales, (130, 100), axis).backward(towards)
    linear(other, packed.dequantize(dtype)).backward(towards)
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-4 if dtype == torch.float32 else 0.05, atol=1e-4 if
                               dtype == torch.float32 else 0.5)  # fmt: skip


def test_a_fresh_adapter_changes_nothing_and_gets_gradients(quantized):
    model = adapted(quantized)
    assert torch.equal(logits(model), logits(load(quantized)))
    model(IDS, labels=IDS).loss.backward()
    learning = {name for name, value in model.named_parameters() if value.requires_grad}
    assert learning and all("lora_" in name for name in learning)
    got = [value.grad for name, value in model.named_parameters() if "lora_B" in name]
    assert len(got) == 2 * len(TARGETS) and all(bool(gradient.any()) for gradient in got)


def test_gradients_are_those_of_the_dequantized_model(quantized):
    """Also through the packed layers between an early adapter and the loss."""
    grads = []
    for dequantize in (False, True):
        model = load(quantized)
        if dequantize:
            model.dequantize()
        torch.manual_seed(0)
        model = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=TARGETS))
        model(IDS, labels=IDS).loss.backward()
        grads.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    assert grads[0].keys() == grads[1].keys()
    for name, gradient in grads[0].items():
        torch.testing.assert_close(gradient, grads[1][name], rtol=1e-3, atol=1e-4)


def test_trainer_and_saved_adapters(quantized, tmp_path):
    torch.manual_seed(0)
    model = adapted(quantized, lora_dropout=0.1)
    before = {name: value.clone() for name, value in model.named_buffers() if "fineq_" in name}
    data = [{"input_ids": row, "labels": row} for row in IDS]
    options = dict(report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True)
    arguments = TrainingArguments(tmp_path / "run", max_steps=8, learning_rate=0.02, **options)
    first = model(IDS, labels=IDS).loss.item()
    Trainer(model, arguments, train_dataset=data).train()
    model.eval()
    assert model(IDS, labels=IDS).loss.item() < 0.9 * first
    assert_same_tensors(before, {name: value for name, value in model.named_buffers() if "fineq_" in name})
    model.save_pretrained(tmp_path / "adapter")
    again = peft.PeftModel.from_pretrained(load(quantized), tmp_path / "adapter")
    assert torch.equal(logits(again), logits(model))
    assert torch.equal(logits(model.unload()), logits(load(quantized)))


def test_merging_is_refused(quantized):
    with pytest.raises(FineqError, match="cannot be merged into packed weights.*call `dequantize"):
        adapted(quantized).merge_and_unload()


@pytest.mark.parametrize("options", [{"init_lora_weights": "pissa"}, {"use_dora": True}])
def test_adapters_that_need_the_weights_are_refused(quantized, options):
    with pytest.raises(FineqError, match="can only be plain LoRA"):
        adapted(quantized, **options)


def test_only_linear_layers_get_adapters(tmp_path):
    _, quantized = quantize_model("llama", tmp_path, Options(embeddings=True))
    with pytest.raises(FineqError, match="FineqEmbedding cannot get an adapter: name linear layers"):
        adapted(quantized, target_modules=["embed_tokens"])


def test_packed_weights_alone_cannot_be_trained(quantized, tmp_path):
    with pytest.raises(ValueError, match="cannot perform fine-tuning on purely quantized models"):
        Trainer(load(quantized), TrainingArguments(tmp_path, report_to=[], use_cpu=True))


@pytest.mark.parametrize("architecture", ["gpt2", "mixtral"])
def test_other_layers(architecture, tmp_path):
    """Packed `Conv1D`; stacks of experts between the adapters and the loss."""
    _, quantized = quantize_model(architecture, tmp_path)
    model = adapted(quantized, target_modules=["c_attn"] if architecture == "gpt2" else ["q_proj"])
    model(IDS, labels=IDS).loss.backward()
    assert all(bool(p.grad.any()) for name, p in model.named_parameters() if "lora_B" in name)
