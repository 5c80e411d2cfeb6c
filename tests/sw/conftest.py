"""Fixtures for the tests of the command line."""

import sys

import pytest
from tiny_models import make_model

from fineq.cli import main


@pytest.fixture
def run_fineq(capsys, monkeypatch):
    """`fineq` with arguments: exit code, standard output and standard error."""

    def call(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fineq", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as exit:
            code = exit.code or 0
        output = capsys.readouterr()
        return code, output.out, output.err

    return call


@pytest.fixture
def quantize(run_fineq):
    return lambda *arguments: run_fineq("quantize", *arguments)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return make_model("llama", tmp_path_factory.mktemp("llama") / "model", max_shard_size="40KB")
