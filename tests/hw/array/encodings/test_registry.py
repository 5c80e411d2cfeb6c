"""Encodings behind their interface: every one has hardware, and a new one needs its file, its pace and a line only."""

from __future__ import annotations

import gc
import re

import pytest
from helpers.hardware.core_workload import Workload
from helpers.hardware.encoded_arrays import encoding_label, in_every_encoding
from helpers.hardware.stream_bench import StreamBench

from fineq.format import temporal
from fineq_hw.array.core import TemporalCore
from fineq_hw.array.encodings.registry import ENCODINGS, groups
from fineq_hw.array.encodings.two_s_unary import TwosUnary
from fineq_hw.array.processing_array import ProcessingArray
from fineq_hw.array.processing_element import ProcessingElement
from fineq_hw.config import ArrayConfig
from fineq_hw.config import array as array_config
from fineq_hw.export.verilog import convert
from fineq_hw.latencies import weight_cycles


def test_every_encoding_has_hardware_in_the_order_of_the_register_map():
    assert list(ENCODINGS) == list(temporal.ENCODINGS)
    # What drivers in the field read from the register ARRAY_KIND.
    assert temporal.ENCODINGS[:5] == ("unary", "2s-unary", "bitplane", "parallel", "cluster")


@pytest.mark.parametrize("config", in_every_encoding(columns=7), ids=encoding_label)
def test_groups_cover_the_columns_in_order(config):
    columns = [group.first + i for group in groups(config) for i in range(group.size)]
    assert columns == list(range(config.columns))


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=list(ENCODINGS))
def test_names_of_modules_have_no_hyphen(encoding):
    assert re.fullmatch(r"\w+", encoding.name_part)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_equal_names_of_elements_are_equal_select_networks():
    """`unary` and `bitplane` share their elements; whoever shares a name must share slots, lines and network."""
    by_name: dict[str, set] = {}
    for config in in_every_encoding():
        group = groups(config)[0]
        network = (type(group.encoding).select, tuple(group.slots), repr(group.lines_layout))
        by_name.setdefault(ProcessingElement(group).module_name, set()).add(network)
    assert all(len(networks) == 1 for networks in by_name.values())
    assert len(by_name) == 5
    gc.collect()  # elements that were asked for their names alone warn here, where it is ignored


class DoubleLast(TwosUnary):
    """As `2s-unary`, but 3 sends its single pulse first."""

    name = "double-last"


@pytest.fixture
def double_last(monkeypatch):
    """An encoding that the project does not have, added as `fineq_hw.array.encodings` says."""
    for module in (temporal, array_config):
        monkeypatch.setattr(module, "ENCODINGS", (*temporal.ENCODINGS, DoubleLast.name))
    monkeypatch.setitem(temporal.PULSES, DoubleLast.name, ((), (1,), (2,), (1, 2)))
    monkeypatch.setitem(temporal.MAX_CYCLES, DoubleLast.name, 2)
    monkeypatch.setitem(temporal.STEP_BITS, DoubleLast.name, 2)
    monkeypatch.setitem(ENCODINGS, DoubleLast.name, DoubleLast())
    return ArrayConfig(rows=2, columns=5, encoding=DoubleLast.name, sign_handling="column")


def test_a_new_encoding_needs_a_class_a_pace_and_a_line(double_last):
    work = Workload(double_last)
    bench = StreamBench(TemporalCore(double_last))
    bench.run(work.beats, len(work.expected), early_termination=1)
    work.check(bench.results)
    assert bench.computing_cycles == sum(sum(weight_cycles(double_last, weights)) for weights in work.weights)


def test_encoders_are_told_what_their_encoding_asks_for(double_last, monkeypatch):
    """An encoding declares what its encoders must know of the whole vector; the array hands it to them."""
    monkeypatch.setattr(DoubleLast, "vector_ports", ("single_step",))
    _, manifest = convert({"dut": ProcessingArray(double_last)})
    encoder = manifest.entry(manifest.entry("dut").children["encoder_0"])
    assert "single_step" in [port.name for port in encoder.ports]


def test_modules_of_a_new_encoding_have_names_of_their_own(double_last):
    modules, _ = convert({"dut": TemporalCore(double_last)})
    assert any("double_last" in name for name in modules)
    assert all(re.fullmatch(r"\w+", name) for name in modules)
