"""Two tiny models, and a cache of cells for a whole file of tests."""

import pytest
from helpers.models.tiny_models import make_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model("llama", tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return make_model("gpt2", tmp_path_factory.mktemp("models") / "other")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cells")
