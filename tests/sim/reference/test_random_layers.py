"""Random weights fill the range that an array takes, and do not leave it."""

import numpy as np
import pytest

from fineq_hw.config import ACCELERATORS
from fineq_sim.reference.random_layers import random_codes
from fineq_sim.runs.catalog import small_machines

MACHINES = {**ACCELERATORS, **small_machines()}


@pytest.mark.parametrize("name", MACHINES)
def test_weights_fill_the_range_of_the_array(name):
    config = MACHINES[name]
    low, high = config.array.weight_limits
    codes = random_codes(config, np.random.default_rng(1), 200, 60)
    assert codes.dtype == np.int8 and (codes.min(), codes.max()) == (low, high)
