"""Configurations from their parameters: their kind is that which has just these."""

from dataclasses import asdict

import pytest

from fineq_hw.config import ACCELERATORS, ARRAYS, MACS
from fineq_sim.reference.payloads import find_config


@pytest.mark.parametrize("named", [ARRAYS, MACS, ACCELERATORS], ids=["arrays", "macs", "accelerators"])
def test_every_configuration_comes_back(named):
    for name, config in named.items():
        assert find_config(name) is config
        assert find_config(asdict(config)) == config


def test_parameters_of_no_kind_are_refused():
    parameters = asdict(ARRAYS["fineq_5x7"])
    del parameters["encoding"]
    with pytest.raises(ValueError, match="no configuration has just the parameters rows, columns, "):
        find_config(parameters)
    with pytest.raises(ValueError, match="unknown configuration 'fineq_4x4': choose one of fineq_64x64, "):
        find_config("fineq_4x4")
