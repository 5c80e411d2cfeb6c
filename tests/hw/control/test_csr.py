"""Registers: the name of their module says what array the constants in them describe."""

from __future__ import annotations

import gc

import pytest

from fineq_hw.config import ACCELERATORS
from fineq_hw.control.csr import ControlStatusRegisters


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_the_name_tells_arrays_apart_that_compute_with_equal_widths():
    names = [ControlStatusRegisters(config).module_name for config in ACCELERATORS.values()]
    assert len(set(names)) == len(names)
    for name, code in {"accelerator_5x7_cluster": "cluster", "mac8x3_accelerator_64x64": "mac3"}.items():
        assert code in ControlStatusRegisters(ACCELERATORS[name]).module_name.split("_")
    gc.collect()  # components that were asked for their names alone warn here, where it is ignored
