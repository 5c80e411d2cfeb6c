"""The throughput report on a small machine: figures from the counters, wrong results noticed, the same bytes twice."""

import json

import numpy as np
import pytest
from helpers.running.command_line import run_fineq

from fineq_hw.config import ACCELERATORS
from fineq_reports.machine import throughput
from fineq_reports.machine.layer import MeasuredLayer
from fineq_reports.machine.throughput import WrongResult, as_markdown, command, measure, write_report
from fineq_sim.driver import FunctionalTransport
from fineq_sim.reference.core_cycles import layer_cycles

SMALL = MeasuredLayer(tokens=12, channels=40, inner=60)


@pytest.fixture(scope="module")
def measurements():
    return measure(SMALL, ["accelerator_5x7"])


def test_figures_are_those_of_the_counters(measurements):
    codes, _ = SMALL.weights(ACCELERATORS["accelerator_5x7"])
    alone = layer_cycles(codes, SMALL.tokens, ACCELERATORS["accelerator_5x7"].array)
    assert [each.output for each in measurements] == ["int8", "fixed", "sums"]
    for each in measurements:
        assert each.counters["multiply_busy"] == alone.computing == each.array.computing
        assert each.busy == alone.computing / each.counters.cycles
        # Small tiles of channels preload more often than the array alone would.
        assert each.counters.cycles > alone.total


def test_report(measurements, tmp_path):
    contents = [[path.read_bytes() for path in write_report(SMALL, measurements, 1, tmp_path / each)] for each in "ab"]
    assert contents[0] == contents[1]
    figures = json.loads(contents[0][1])
    assert figures["measurements"][0]["array_busy"] == measurements[0].busy
    page = as_markdown(SMALL, measurements, 1, "x.png")
    assert f"| {measurements[0].counters.cycles:,} | {measurements[0].busy:.1%} |" in page
    assert command(SMALL, 9) == "fineq throughput --tokens 12 --channels 40 --inner 60 --latency 9"


class Wrong(FunctionalTransport):
    """A model whose results are off by one bit."""

    def read_memory(self, address, size):
        content = super().read_memory(address, size)
        return content ^ np.uint8(size > 400)


def test_wrong_results_are_noticed(monkeypatch):
    monkeypatch.setattr(throughput, "FunctionalTransport", Wrong)
    with pytest.raises(WrongResult, match=r"^accelerator_5x7: the results \(int8\) differ from those of"):
        measure(SMALL, ["accelerator_5x7"], ["int8"])


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--machine", "x"], "error: unknown accelerator 'x': choose one of accelerator_64x64, "),
        (["--recipe", "x", "--machine", "accelerator_5x7"], "error: unknown recipe 'x'"),
    ],
)
def test_bad_command_lines(arguments, text, tmp_path):
    outcome = run_fineq("throughput", *arguments, "--report", tmp_path / "report")
    assert outcome.code == 1
    assert text in outcome.stderr and outcome.stderr.count("\n") == 1
    assert not (tmp_path / "report").exists()
