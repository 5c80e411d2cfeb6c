"""The pictures of the machine: what they are drawn from is read correctly."""

import numpy as np
import pytest

from fineq_hw.accelerator import make_accelerator
from fineq_hw.array.core import PackedCore
from fineq_hw.config import ACCELERATORS, ARRAYS
from fineq_hw.export.conversion import convert
from fineq_reports.architecture import block_diagram, timing_diagram
from fineq_reports.architecture.structure import OUTSIDE, Connection, read_structure
from fineq_reports.architecture.waveform import read_signals, runs

WAVEFORM = """$timescale 1ps $end
$scope module $rootio $end
$var wire 1 ! clk $end
$upscope $end
$scope module top $end
$var wire 1 ! clk $end
$scope module core $end
$var wire 1 # computing $end
$var wire 4 $ count [3:0] $end
$upscope $end
$upscope $end
$enddefinitions $end
#0
0!
0#
b0011 $
#5
1!
1#
#10
0!
#15
b1001 $
1!
#20
0!
#25
0#
bx $
1!
#30
0!
#35
1!
"""


@pytest.fixture
def waveform(tmp_path):
    file = tmp_path / "dump.vcd"
    file.write_text(WAVEFORM)
    return file


def test_signals_are_sampled_before_the_clock_edge(waveform):
    signals = read_signals(waveform, ["core.computing", "core.count"])
    assert signals["core.computing"].tolist() == [0, 1, 1, 0]
    assert signals["core.count"].tolist() == [3, 3, 9, 0]


def test_missing_signal_is_named(waveform):
    with pytest.raises(ValueError, match=r"dump.vcd has no signal core.busy: record it with WAVES=1"):
        read_signals(waveform, ["core.busy"])


def test_runs_of_a_signal():
    assert list(runs(np.array([1, 0, 2, 2, 0, 0, 1]))) == [(0, 1), (2, 2), (6, 1)]
    assert list(runs(np.zeros(3))) == []


def test_structure_of_the_packed_core():
    config = ARRAYS["fineq_5x7"]
    modules, manifest = convert({"top": PackedCore(config)})
    structure = read_structure(modules, manifest, "top")
    assert set(structure.instances) == {"core", "decoder"}
    line = Connection(OUTSIDE, "lines", "decoder", 8 * config.line_bytes, False)
    assert line in structure.connections
    results = next(link for link in structure.connections if link.port == "results")
    assert (results.source, results.sink, results.stream) == ("core", OUTSIDE, True)
    assert results.bits == config.rows * config.accumulator_bits + 2  # sums, last, valid
    with pytest.raises(ValueError, match=r"there is no module 'tap': choose one of "):
        read_structure(modules, manifest, "tap")


@pytest.mark.parametrize("name", ["accelerator_5x7", "mac8x8_accelerator_5x7"])
def test_the_block_diagram_shows_every_block(name, tmp_path, monkeypatch):
    modules, manifest = convert({name: make_accelerator(ACCELERATORS[name])})
    assert set(read_structure(modules, manifest, name).instances) == set(block_diagram.PLACES)
    first, second = tmp_path / "first.png", tmp_path / "second.png"
    block_diagram.draw(modules, manifest, name, name, first)
    block_diagram.draw(modules, manifest, name, name, second)
    assert first.read_bytes() == second.read_bytes()
    monkeypatch.setattr(
        block_diagram, "PLACES", {key: place for key, place in block_diagram.PLACES.items() if key != "core"}
    )
    with pytest.raises(ValueError, match=r"the picture and the machine differ in core: give the block a place"):
        block_diagram.draw(modules, manifest, name, name, first)


def test_shares_of_the_timing_diagram(tmp_path):
    busy = {stage: np.zeros(10, dtype=bool) for stage, _ in timing_diagram.STAGES}
    with pytest.raises(ValueError, match="no stage is ever busy in this waveform"):
        timing_diagram.draw(busy, "nothing", tmp_path / "none.png")
    busy["memory_access"][2:4] = True
    busy["write_back"][9] = True
    shares = timing_diagram.draw(busy, "a job", tmp_path / "job.png")
    assert shares["memory_access"] == 2 / 8
    assert shares["write_back"] == 1 / 8
    assert shares["multiply"] == 0
