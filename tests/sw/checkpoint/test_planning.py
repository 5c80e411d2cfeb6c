"""What embedding and head of an unusual architecture allow."""

import pytest
import torch
import transformers

from fineq.checkpoint.planning import Options, make_plan
from fineq.checkpoint.source import open_source
from fineq.common.errors import FineqError

SIZES = {"vocab_size": 48, "hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 1}
BOTH = Options("mse", embeddings=True, lm_head=True)


def plan(directory, config, options):
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(directory)
    return make_plan(open_source(directory), options, "row")


def test_a_model_without_weights_in_its_norms_keeps_one_parameter(tmp_path):
    """transformers takes a model's device and type from its first parameter; packed layers have none."""
    config = transformers.OlmoConfig(**SIZES, intermediate_size=48)
    with pytest.raises(FineqError, match="^every parameter of OlmoForCausalLM would be packed.* or --lm-head out$"):
        plan(tmp_path / "both", config, BOTH)
    found = plan(tmp_path / "one", config, Options("mse", lm_head=True))
    assert "lm_head" in {unit.name for unit in found.quantized}


def test_a_matrix_that_is_tied_under_a_third_name_is_refused(tmp_path):
    config = transformers.ProphetNetConfig(
        vocab_size=48, hidden_size=24, num_decoder_layers=1, num_decoder_attention_heads=2, decoder_ffn_dim=48
    )
    with pytest.raises(FineqError, match="^ProphetNetForCausalLM ties lm_head.weight to prophetnet.word_embeddings"):
        plan(tmp_path / "both", config, BOTH)
    assert plan(tmp_path / "blocks", config, Options("mse")).quantized
