"""The pictures of the machine: what they are drawn from is read correctly."""

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Mux
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect

from fineq_hw.accelerator import make_accelerator
from fineq_hw.array.core import PackedCore
from fineq_hw.config import ACCELERATORS, ARRAYS
from fineq_hw.export.conversion import convert
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.role import PART
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
    core = PackedCore(config)
    converted = convert({"top": core})
    structure = read_structure(converted, core, "top")
    assert set(structure.instances) == {"core", "decoder"}
    line = Connection(OUTSIDE, "lines", "decoder", 8 * config.line_bytes, False, "lines")
    assert line in structure.connections
    results = next(link for link in structure.connections if link.port == "results")
    assert (results.source, results.sink, results.stream) == ("core", OUTSIDE, True)
    assert results.bits == config.rows * config.accumulator_bits + 2  # sums, last, valid
    with pytest.raises(ValueError, match=r"there is no module 'tap': choose one of "):
        read_structure(converted, core, "tap")


class Producer(VerilogComponent):
    """A stream, and a plain port that is called like the `valid` of another."""

    KIND, ROLE = "producer", PART

    def __init__(self):
        ports = {"words_7": Out(stream.Signature(4)), "m_axi_like": Out(3), "bus_a": Out(2), "bus_b": Out(1)}
        super().__init__(ports | {"odd__valid": Out(1)})

    def elaborate(self, platform):
        m = Module()
        for port, value in (("m_axi_like", 1), ("bus_a", 2), ("bus_b", 1), ("odd__valid", 1)):
            m.d.sync += getattr(self, port).eq(getattr(self, port) + value)
        m.d.sync += [self.words_7.payload.eq(self.words_7.payload + self.words_7.ready), self.words_7.valid.eq(1)]
        return m


class Consumer(VerilogComponent):
    KIND, ROLE = "consumer", PART

    def __init__(self):
        super().__init__({"words": In(stream.Signature(4)), "levels": In(7), "seen": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.words.ready.eq(self.levels[0])
        m.d.sync += self.seen.eq(Mux(self.words.valid, self.words.payload, self.levels))
        return m


class Pair(VerilogComponent):
    KIND, ROLE = "pair", PART

    def __init__(self):
        super().__init__({"seen": Out(8)})

    def elaborate(self, platform):
        m = Module()
        source, sink = Producer(), Consumer()
        place(m, "source", source)
        place(m, "sink", sink)
        connect(m, source.words_7, sink.words)
        levels = Cat(source.m_axi_like, source.bus_a, source.bus_b, source.odd__valid)
        m.d.comb += [sink.levels.eq(levels), self.seen.eq(sink.seen)]
        return m


def test_streams_and_buses_are_those_that_signatures_declare():
    pair = Pair()
    structure = read_structure(convert({"top": pair}), pair, "top", {"bus": ("bus_a", "bus_b")})
    assert set(structure.connections) == {
        Connection("source", "words_7", "sink", 5, True, "words"),
        Connection("source", "m_axi_like", "sink", 3, False, "m_axi_like"),
        Connection("source", "bus", "sink", 3, False, "bus"),
        Connection("source", "odd__valid", "sink", 1, False, "odd__valid"),
        Connection("sink", "seen", OUTSIDE, 8, False, "seen"),
    }


@pytest.mark.parametrize("name", ["accelerator_5x7", "mac8x8_accelerator_5x7"])
def test_the_block_diagram_shows_every_block(name, tmp_path, monkeypatch):
    machine = make_accelerator(ACCELERATORS[name])
    converted = convert({name: machine})
    first, second = tmp_path / "first.png", tmp_path / "second.png"
    structure = block_diagram.draw(converted, machine, name, name, first)
    assert set(structure.instances) == set(block_diagram.PLACES)
    block_diagram.draw(converted, machine, name, name, second)
    assert first.read_bytes() == second.read_bytes()
    monkeypatch.setattr(
        block_diagram, "PLACES", {key: place for key, place in block_diagram.PLACES.items() if key != "core"}
    )
    with pytest.raises(ValueError, match=r"the picture and the machine differ in core: give the block a place"):
        block_diagram.draw(converted, machine, name, name, first)


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
