"""A config.json may be edited as long as the model computes the same with it."""

import json

import pytest
from helpers.models.quantized_models import load, quantize_model

from fineq.common.errors import FineqError


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return quantize_model("llama", tmp_path_factory.mktemp("match"))[1]


@pytest.fixture
def edited(packed, tmp_path):
    """Makes a copy of the checkpoint with other fields in config.json; None takes one away."""

    def edit(**fields):
        for path in packed.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        config = json.loads((packed / "config.json").read_text()) | fields
        config = {name: value for name, value in config.items() if value is not None}
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return edit


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 10000.0}


@pytest.mark.parametrize(
    "fields",
    [
        {"use_cache": False},
        {"pad_token_id": 0},
        {"eos_token_id": [2, 3]},
        {"note_to_self": "try again"},
        {"rope_parameters": YARN, "max_position_embeddings": 256},
        {"hidden_act": None},  # the default is what the weights were written with
        {"attention_dropout": 0.1, "initializer_range": 0.1},
    ],
)
def test_edits_that_change_no_arithmetic(edited, fields):
    load(edited(**fields))


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu', the weights were written with 'silu'"),
        ({"rms_norm_eps": 0.1}, "rms_norm_eps is 0.1, the weights were written with 1e-06"),
        ({"rms_norm_eps": None, "num_key_value_heads": 4}, "num_key_value_heads is 4, the weights were written with 2"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings is True, the weights were written with False"),
        ({"rope_parameters": YARN | {"rope_theta": 1e6}}, "rope_parameters is "),
    ],
)
def test_edits_that_do(edited, fields, message):
    with pytest.raises(FineqError, match="config.json does not belong to model.safetensors: ") as raised:
        load(edited(**fields))
    assert message in str(raised.value)
