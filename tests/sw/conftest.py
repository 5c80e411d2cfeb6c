"""Fixtures that tests of several rooms need."""

import pytest
from helpers.models.calibration import random_tokens
from helpers.models.tiny_models import make_model
from helpers.running.command_line import run_fineq


@pytest.fixture
def quantize():
    return lambda *arguments: run_fineq("quantize", *arguments)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return make_model("llama", tmp_path_factory.mktemp("llama") / "model", max_shard_size="40KB")


@pytest.fixture(scope="module")
def tokens():
    return random_tokens()
