"""Damaged and hostile checkpoints: each is refused with one sentence, and none makes the reader allocate much."""

import json
import tracemalloc
from pathlib import Path

import helpers.weight_files.bad_containers  # noqa: F401  (both fill the table)
import helpers.weight_files.bad_contents  # noqa: F401
import pytest
import torch
from helpers.models.tiny_models import make_model
from helpers.weight_files.weight_file_parts import BAD, Parts
from transformers import AutoModelForCausalLM

from fineq.checkpoint.container import DTYPES, open_container
from fineq.checkpoint.fileformat import check_checkpoint
from fineq.checkpoint.planning import Options
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source
from fineq.common.errors import FineqError

SLACK_BYTES = 1 << 20
"""What Python needs to parse anything at all."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("bad")
    source = make_model("llama", directory / "source")
    quantize_checkpoint(open_source(source), directory / "good", Options(include=("*layers.0.mlp.*",)))
    return directory / "good"


def test_there_are_many_bad_files():
    assert len(BAD) >= 50


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_refused(checkpoint, tmp_path, name):
    make, message = BAD[name]
    parts = Parts.of_file(checkpoint / "model.safetensors")
    content = make(parts)
    path = tmp_path / "model.safetensors"
    path.write_bytes(parts.join() if content is None else content)
    config = json.loads((checkpoint / "config.json").read_text())
    with pytest.raises(FineqError) as error, limited_memory(path):
        check_checkpoint([path], config)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_parts_are_put_together_unchanged(checkpoint, tmp_path):
    """The control: without a fault, the same procedure is accepted, signed again or not."""
    parts = Parts.of_file(checkpoint / "model.safetensors")
    path = tmp_path / "model.safetensors"
    for sign in (False, True):
        if sign:
            parts.sign()
        path.write_bytes(parts.join())
        assert len(check_checkpoint([path], parts.config)) == 3


@pytest.mark.parametrize("name", ["flipped_bit_in_blocks", "tensor_named_twice", "scale_is_nan", "one_byte_too_many"])
def test_from_pretrained_refuses_too(checkpoint, tmp_path, name):
    import fineq.huggingface  # noqa: F401

    make, message = BAD[name]
    parts = Parts.of_file(checkpoint / "model.safetensors")
    content = make(parts)
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(parts.join() if content is None else content)
    with pytest.raises(FineqError) as error:
        AutoModelForCausalLM.from_pretrained(tmp_path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 20000.0}},
            "rope_parameters is {'partial_rotary_factor': None, 'rope_theta': 20000.0}",
        ),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu', the weights were written with 'silu': restore it"),
        ({"quantization_config": None}, "config.json has no quantization_config of FineQ"),
        ({"quantization_config": {"quant_method": "gptq"}}, "config.json has no quantization_config of FineQ"),
        ({"format_version": 3}, "config.json has FineQ format version 3, this release reads 1 and 2"),
        ({"format_version": 2}, "config.json: format version 2 and int8_tensors {} do not fit together"),
        ({"int8_tensors": {"a": [1, 2]}}, "config.json: format version 1 and int8_tensors {'a': [1, 2]} do not fit"),
        ({"format_version": True}, "config.json has FineQ format version True, this release reads 1"),
        ({"axis": "diagonal"}, "axis is 'diagonal', it must be row or column"),
        ({"tensors": {}}, "quantization_config lists no tensors"),
        ({"tensors": {"a": [1, 2, 3, 4]}}, "quantized tensor 'a' has the shape [1, 2, 3, 4], not two or three sizes"),
        ({"tensors": {"a": [2**40, 3]}}, "not two or three sizes"),
        ({"tensors": {"a": "80x48"}}, "quantized tensor 'a' has the shape '80x48', not two or three sizes"),
        ({"tensors": {"a": [80, 48]}}, "config.json does not belong to model.safetensors: quantization_config is"),
        ({"recipe": "paper"}, "config.json does not belong to model.safetensors: quantization_config is"),
    ],
)
def test_changed_config_is_refused(checkpoint, change, message):
    config = json.loads((checkpoint / "config.json").read_text())
    inner = config["quantization_config"]
    (inner if set(change) & {"format_version", "axis", "tensors", "int8_tensors", "recipe"} else config).update(change)
    with pytest.raises(FineqError) as error:
        check_checkpoint([checkpoint / "model.safetensors"], config)
    assert message in str(error.value)


class limited_memory:
    """Inside, no more memory may be taken than twice the file, and a little that Python itself needs."""

    def __init__(self, path: Path):
        self._limit = 2 * path.stat().st_size + SLACK_BYTES

    def __enter__(self):
        tracemalloc.start()

    def __exit__(self, *error):
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= self._limit, f"{peak} bytes taken, {self._limit} allowed"


def test_reader_agrees_with_the_library(checkpoint):
    """The strict reader and the safetensors library see the same tensors."""
    from safetensors.torch import load_file

    container = open_container(checkpoint / "model.safetensors")
    expected = load_file(checkpoint / "model.safetensors")
    assert sorted(container.tensors) == sorted(expected)
    for name, tensor in expected.items():
        entry = container.tensors[name]
        assert (DTYPES[entry.dtype], entry.shape) == (tensor.dtype, tuple(tensor.shape))
        assert torch.equal(container.read(name).view(entry.shape), tensor)
