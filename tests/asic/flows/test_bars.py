"""Bars are judged on the data that the data sets say they are, not on words of their descriptions."""

from types import SimpleNamespace

import pytest

from fineq_asic.flows.bars import bars
from fineq_asic.flows.results import DataCycles, SynthesisRun
from fineq_asic.power.liberty_power import Power


def result(title, encoding, area):
    """A design of one processing element that takes as many watts as µm²."""
    return SimpleNamespace(
        design=SimpleNamespace(title=title, config=SimpleNamespace(encoding=encoding)),
        encoding=encoding,
        total_area=area,
        area_per_element=area,
        decoder_share=0.01,
        total_power=Power(area),
        total_power_with_glitches=Power(area),
        energy=lambda power: power.total,
        timing=SimpleNamespace(worst_slack_ns=0.1),
    )


class Run(SynthesisRun):
    """A run with a unary array of 50 µm² and a MAC array of 200."""

    arrays = (result("array", "unary", 50.0),)
    narrow_macs = (result("mac", "", 200.0),)


def run(cycles):
    return Run("64x64", 2.5, {}, "", "", [*Run.arrays, *Run.narrow_macs], cycles)


def found(cycles):
    return {bar.text: (bar.found, bar.met) for bar in bars(run(cycles))}


WIDE = "area x cycles per MAC, best encoding, rows of 4096 columns, recipe paper"
MODELS = "the same on every model and recipe"


@pytest.mark.parametrize("words", [("rows", "other rows", "text"), ("model of Gaussian rows, recipe paper", "b", "c")])
def test_data_sets_say_what_they_are(words):
    cycles = dict(
        zip(
            words,
            (
                DataCycles("", "paper", {"unary": 2.0}),
                DataCycles("", "mse", {"unary": 4.0}),
                DataCycles("opt", "paper", {"unary": 3.0}),
            ),
            strict=True,
        )
    )
    assert found(cycles)[WIDE] == ("100.0 µm²", True)
    assert found(cycles)[MODELS] == ("150.0 µm²", False)


def test_without_such_data_nothing_is_judged():
    assert found({})[WIDE] == found({})[MODELS] == ("", None)
