"""Fixtures for the tests of `fineq quantize`."""

import sys

import pytest
from tiny_models import make_model

from fineq.cli import main


@pytest.fixture
def quantize(capsys, monkeypatch):
    def call(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fineq", "quantize", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as exit:
            code = exit.code or 0
        output = capsys.readouterr()
        return code, output.out, output.err

    return call


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return make_model("llama", tmp_path_factory.mktemp("llama") / "model", max_shard_size="40KB")
