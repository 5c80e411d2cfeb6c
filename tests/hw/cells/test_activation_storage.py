"""Latches for the stationary activations: behaviour in Amaranth's simulator, and the cells they become."""

from __future__ import annotations

import pytest
from helpers.hardware.amaranth_bench import simulate

from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import read_liberty
from fineq_asic.library.pdk import find_pdk
from fineq_asic.mapping.yosys import MappingOptions, map_design
from fineq_hw.array.processing_array import ArrayRow
from fineq_hw.cells.activation_storage import ClockGate, Latch
from fineq_hw.config import ArrayConfig
from fineq_hw.export.conversion import convert


def test_latch_follows_and_keeps():
    latch = Latch()

    async def bench(ctx):
        for enable, d, expected in ((1, 1, 1), (0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 1), (1, 0, 0)):
            ctx.set(latch.d, d if enable else ctx.get(latch.d))
            ctx.set(latch.enable, enable)
            ctx.set(latch.d, d)
            assert ctx.get(latch.q) == expected

    simulate(latch, bench, clocked=False)


def test_clock_gate_passes_whole_high_phases_only():
    gate = ClockGate()

    async def bench(ctx):
        for enable_low, enable_high in ((1, 0), (0, 1), (1, 1), (0, 0)):
            ctx.set(gate.enable, enable_low)
            assert ctx.get(gate.gated_clk) == 0
            ctx.set(gate.clk, 1)
            assert ctx.get(gate.gated_clk) == enable_low
            ctx.set(gate.enable, enable_high)  # too late to matter
            assert ctx.get(gate.gated_clk) == enable_low
            ctx.set(gate.clk, 0)
            assert ctx.get(gate.gated_clk) == 0

    simulate(gate, bench, clocked=False)


def write(directory, modules) -> list:
    files = []
    for name, text in modules.items():
        files.append(directory / f"{name}.v")
        files[-1].write_text(text, encoding="utf-8")
    return files


def test_row_of_latches_becomes_latches_and_one_clock_gate(tmp_path):
    config = ArrayConfig(rows=1, columns=3, activation_storage="latch")
    modules, _ = convert({"dut": ArrayRow(config)})
    pdk = find_pdk()
    library = read_liberty(pdk.liberty)
    netlist = map_design(write(tmp_path, modules), "dut", MappingOptions(), pdk, library, tmp_path / "work")
    counts = netlist.cell_counts()
    assert counts["DLH_X1"] == config.columns * config.activation_bits
    assert counts["CLKGATE_X1"] == 2  # the latches and the accumulator
    flops = sum(count for kind, count in counts.items() if kind.startswith("DFF"))
    assert flops == config.accumulator_bits


def test_latch_by_accident_is_refused(tmp_path):
    text = "module dut(input a, b, output reg q);\n  always @* if (a) q = b;\nendmodule\n"
    pdk = find_pdk()
    with pytest.raises(SynthesisError, match="a latch that nobody asked for"):
        map_design(
            write(tmp_path, {"dut": text}), "dut", MappingOptions(), pdk, read_liberty(pdk.liberty), tmp_path / "work"
        )
