"""The accelerator: its hierarchy, and what its constructors refuse."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest

from fineq_hw.accelerator import Accelerator, MacAccelerator, make_accelerator
from fineq_hw.config import ACCELERATORS, AcceleratorConfig, MacConfig
from fineq_hw.export.conversion import collect


def test_both_machines_differ_in_core_and_line_decoding_alone():
    """The same blocks in the same places; modules are the same but for widths, the core and the decoder."""
    names = ("accelerator_5x7", "mac8x8_accelerator_5x7")
    _, manifest = collect({name: make_accelerator(ACCELERATORS[name]) for name in names})

    def kinds(name: str) -> set[str]:
        array = ACCELERATORS[name].array
        children = manifest.entry(name).children
        assert manifest.entry(children["core"]).component == (
            "MacCore" if isinstance(array, MacConfig) else "TemporalCore"
        )
        return {manifest.entry(module).kind for instance, module in children.items() if instance != "core"}

    fineq, mac = kinds(names[0]), kinds(names[1])
    assert len(fineq) >= 10
    assert fineq == mac


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        (Accelerator, "mac8x8_accelerator_5x7", "array is MacConfig: Accelerator needs ArrayConfig"),
        (MacAccelerator, "accelerator_5x7", "array is ArrayConfig: MacAccelerator needs MacConfig"),
    ],
)
def test_wrong_kind_of_array_is_refused(kind, name, text):
    with pytest.raises(ValueError) as error:
        kind(ACCELERATORS[name])
    assert str(error.value) == text
    del error
    gc.collect()  # the rejected component warns here, where it is ignored


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"final_channels": 24},
            "final_channels is 24: it must be a power of two that divides channels_per_tile, 64",
        ),
        (
            {"final_channels": 48},
            "final_channels is 48: it must be a power of two that divides channels_per_tile, 64",
        ),
        ({"final_channels": 80}, "final_channels is 80: it must be an integer between 16 and 64"),
        ({"vector_words": 3}, "vector_words is 3: choose one of 1, 2, 4"),
        ({"channels_per_tile": 40}, "channels_per_tile is 40: it must be a multiple of 16"),
        ({"bus_bits": 32}, "bus_bits is 32: choose one of 64, 128"),
        ({"max_burst_beats": 3}, "max_burst_beats is 3: choose one of 1, 2, 4"),
        ({"protection": 8}, "protection is 8: it must be an integer between 0 and 7"),
        ({"cacheability": 16}, "cacheability is 16: it must be an integer between 0 and 15"),
    ],
)
def test_impossible_accelerators_are_refused(changes, text):
    config: AcceleratorConfig = ACCELERATORS["accelerator_16x16"]
    with pytest.raises(ValueError, match=f"^{text}"):
        replace(config, **changes)
