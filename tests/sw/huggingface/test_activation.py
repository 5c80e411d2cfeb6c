"""int8 activations as a switch of `from_pretrained`, of a model, and of the commands."""

import pytest
import torch
from helpers.models.quantized_models import assert_same_tensors, load, logits, quantize_model, tensors
from transformers import AutoConfig

from fineq.checkpoint.planning import Options
from fineq.common.errors import FineqError
from fineq.huggingface.config import FineqConfig
from fineq.huggingface.linear import FineqLinear, set_activation
from fineq.huggingface.loading import load_model


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    return quantize_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.mark.filterwarnings("ignore:You passed `quantization_config`")
def test_from_pretrained(quantized, tmp_path):
    _, directory = quantized
    plain = load(directory)
    model = load(directory, quantization_config=FineqConfig(activation="int8"))
    packed = [module for module in model.modules() if isinstance(module, FineqLinear)]
    assert packed and all(module.activation == "int8" for module in packed)
    assert not torch.equal(logits(model), logits(plain)), "the switch does something"
    assert set_activation(plain, "int8") == len(packed)
    assert torch.equal(logits(model), logits(plain))

    model.save_pretrained(tmp_path / "again")
    assert_same_tensors(tensors(directory), tensors(tmp_path / "again"))
    assert "activation" not in AutoConfig.from_pretrained(tmp_path / "again").quantization_config
    assert load(tmp_path / "again").model.layers[0].mlp.up_proj.activation == "float", "no checkpoint carries it"


@pytest.mark.filterwarnings("ignore:You passed `quantization_config`")
def test_bad_switches(quantized, tmp_path):
    source, directory = quantized
    with pytest.raises(FineqError, match="activation is 'int9': choose one of float, int8"):
        load(directory, quantization_config=FineqConfig(activation="int9"))
    with pytest.raises(FineqError, match="has no packed linear layer, so nothing can take int8 activations"):
        load_model(source, activation="int8")
    _, columns = quantize_model("llama", tmp_path, Options(recipe="paper-column"))
    with pytest.raises(FineqError, match="packed row-wise"):
        load(columns, quantization_config=FineqConfig(activation="int8"))
