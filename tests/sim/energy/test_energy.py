"""Energy: memories as the RTL has them, accesses counted another way, tables with their sources, nothing filled in."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fineq_hw.config import ACCELERATORS, ARRAYS, MACS
from fineq_hw.interface.jobs import OutputFormat
from fineq_sim.driver.memory_timing import MemoryTiming
from fineq_sim.energy.dram import PUBLISHED
from fineq_sim.energy.events import EventReportError, EventShares, read_event_shares
from fineq_sim.energy.memories import accesses, memories_of
from fineq_sim.energy.model import (
    ARRAY,
    ARRAY_LEAKAGE,
    ARRAY_LOADING,
    ARRAY_WAITING,
    NO_EVENTS,
    NOT_MEASURED,
    SRAM,
    SRAM_LEAKAGE,
    EnergyModel,
    not_measured,
)
from fineq_sim.energy.sram import CELLS, DEPTHS, SLICE_BITS, WIDTHS, SramError, sram_figures
from fineq_sim.energy.synthesis import MissingSynthesis, read_reports, top_of
from fineq_sim.perf.jobs import even_steps, place_jobs
from fineq_sim.perf.tile import estimate
from fineq_sim.reference.tile_walk import nest_tiles

RESULTS = Path(__file__).parents[3] / "docs" / "results"
WIDE = ACCELERATORS["accelerator_64x64"]


def test_memories_are_those_of_the_machine():
    """The report of the blocks has every memory of the netlist."""
    page = (RESULTS / "accelerator-blocks.md").read_text()
    rows = [line.split("|")[3:5] for line in page.splitlines() if line.count("|") == 6 and "`" in line.split("|")[2]]
    found = sorted((int(words), int(bits)) for words, bits in rows)
    ours = [each.size for each in memories_of(WIDE).values() for _ in range(each.count)]
    assert found == sorted(ours) and len(found) == 23


@pytest.mark.parametrize("machine", ["accelerator_5x7", "accelerator_8x24", "mac8x8_accelerator_5x7"])
def test_accesses_are_those_of_the_loops(machine):
    config = ACCELERATORS[machine]
    tokens, channels, inner = 13, 45, 100
    jobs = place_jobs(config, [(tokens, channels, inner, OutputFormat.FIXED)])
    tiles = -(-inner // config.array.columns)
    counters = estimate(config, jobs, [even_steps(tiles, channels, 1)], MemoryTiming()).counts
    reads = writes = drained = 0
    for tile in nest_tiles(config, tokens, channels):
        for inner_tile in range(tiles):
            writes += tile.channels
            reads += tile.channels if inner_tile else 0
        drained += tile.tokens * -(-tile.channels // config.vector_lanes)
    used = accesses(config, tokens, channels, inner, counters)
    assert used["sums"] == (reads + drained * config.vector_lanes, writes)
    assert used["weights"][0] == counters["weight_vectors"]
    with pytest.raises(AssertionError):
        accesses(config, tokens, channels + 1, inner, counters)


def test_sram_between_the_sizes_of_the_table():
    depths, widths = DEPTHS, WIDTHS
    low, high = sram_figures(depths[1], widths[1]), sram_figures(depths[2], widths[2])
    between = sram_figures(depths[1] + 1, widths[1] + 8)
    for name in ("read", "write", "area"):
        assert getattr(low, name) < getattr(between, name) < getattr(high, name)
    assert sram_figures(64, 1536, widest=4096).read == pytest.approx(132.9, abs=0.1)
    assert sram_figures(64, 1536).read == pytest.approx(8 * sram_figures(64, SLICE_BITS).read)
    assert sram_figures(64, 8192, widest=10**6).read == pytest.approx(2 * sram_figures(64, 4096, widest=4096).read)
    with pytest.raises(SramError, match="larger than"):
        sram_figures(1 << 20, 64)


def test_every_memory_of_a_named_machine_has_figures():
    for config in ACCELERATORS.values():
        for memory in memories_of(config).values():
            assert all(sram_figures(*memory.size, cell).read > 0 for cell in CELLS)


def test_dram_has_two_figures_with_sources():
    assert len(PUBLISHED) >= 2 and all(each.source for each in PUBLISHED)
    assert len({each.picojoules_per_bit for each in PUBLISHED}) == len(PUBLISHED)


def test_arrays_by_the_name_of_their_design():
    assert top_of(ARRAYS["fineq_64x64"]) == "fineq_64x64_packed"
    assert top_of(replace(ARRAYS["fineq_16x16_cluster"], adder_tree="behavioural")) == "fineq_16x16_cluster_packed"
    assert top_of(MACS["mac8x3_64x64_broadcast"]) == "mac8x3_64x64_broadcast"
    assert top_of(replace(ARRAYS["fineq_64x64"], rows=48)) is None


def test_what_is_not_synthesised_is_said():
    reports = read_reports(RESULTS)
    with pytest.raises(MissingSynthesis, match=r"fineq synth --size 8x24 --design fineq_8x24_packed"):
        reports.find(ARRAYS["fineq_8x24"])
    with pytest.raises(MissingSynthesis, match="has no name among the configurations"):
        reports.find(replace(ARRAYS["fineq_64x64"], rows=48))
    with pytest.raises(MissingSynthesis, match="no design 'x'"):
        reports.find(ARRAYS["fineq_64x64"], "x")
    with pytest.raises(MissingSynthesis, match="16x16 elements: the array is 64x64"):
        reports.find(ARRAYS["fineq_64x64"], "fineq_16x16_packed")


def test_directory_without_reports(tmp_path):
    with pytest.raises(MissingSynthesis, match="make synth"):
        read_reports(tmp_path)
    (tmp_path / "synth-1x1.json").write_text("{}")
    with pytest.raises(MissingSynthesis, match="cannot read .*synth-1x1.json"):
        read_reports(tmp_path)


def test_energies_of_a_design_are_those_of_its_report():
    design = json.loads((RESULTS / "synth-64x64.json").read_text())["designs"][0]
    found = read_reports(RESULTS).designs[design["top"]]
    assert found.mac_pj == pytest.approx(design["energy_per_mac_with_glitches_pj"], rel=1e-4)
    assert found.area_um2 == pytest.approx(design["area_total_um2"])
    leakage = design["power_with_glitches_w"]["total"]["leakage"]
    assert found.leakage_w == pytest.approx(leakage, rel=1e-4)


def test_energy_grows_with_what_it_counts():
    model = EnergyModel(WIDE, read_reports(RESULTS).find(WIDE.array), 400, 2.0, {"a": 1.0, "b": 10.0})
    jobs = place_jobs(WIDE, [(64, 512, 640, OutputFormat.FIXED)])

    def energy(steps, cycles):
        counts = estimate(WIDE, jobs, [even_steps(10, 512, steps)], MemoryTiming()).counts
        return model.layer((64, 512, 640), cycles, counts), counts

    (one, counts), (three, _), (late, _) = energy(1, 1e4), energy(3, 1e4), energy(1, 2e4)
    assert three.chip[ARRAY] == pytest.approx(3 * one.chip[ARRAY])
    assert three.chip[SRAM] == one.chip[SRAM]
    assert late.chip[ARRAY_LEAKAGE] == pytest.approx(2 * one.chip[ARRAY_LEAKAGE])
    assert late.chip[SRAM_LEAKAGE] == pytest.approx(2 * one.chip[SRAM_LEAKAGE])
    moved = counts["bytes_read"] + counts["bytes_written"]
    assert one.dram["a"] == pytest.approx(8e-12 * moved) and one.dram["b"] == pytest.approx(10 * one.dram["a"])
    assert one.sram_range[0] <= one.chip[SRAM] + one.chip[SRAM_LEAKAGE] <= one.sram_range[1]
    both = one + three.times(2)
    assert both.on_chip == pytest.approx(one.on_chip + 2 * three.on_chip)
    assert np.allclose(both.total_range, np.array(one.total_range) + 2 * np.array(three.total_range))


def test_a_unit_of_unknown_energy_is_marked():
    model = EnergyModel(WIDE, read_reports(RESULTS).find(WIDE.array), 400)
    assert not model.other(10, 5, 8).unit_known
    assert (model.other(0, 5, 8) + model.other(10, 5, 8)).unit_known is False


SHARES = EventShares("by hand", "*", rows=64, one_old=0.937, no_token=0.2, preload=0.5, idle=0.1, stalled=0.05)
"""A row with an old tile takes 0.9 of one with a token: 1 - (1 - 0.937) * 64 / 63 = 0.936 without any token."""


@pytest.mark.parametrize(
    "tokens, empty_rows, share",
    [
        (64, "old", 1.0),
        (128, "zeroed", 1.0),
        (16, "zeroed", 0.2 + 0.8 * 16 / 64),
        (96, "zeroed", 0.2 + 0.8 * 96 / 128),  # one full tile, one half full
        (1, "old", 0.937),
        (32, "old", 0.936 + 0.064 * 32 / 64),
    ],
)
def test_every_cycle_is_a_step_or_loads_or_waits(tokens, empty_rows, share):
    """1000 cycles of which 600 are steps and 64 load a row, at 10 pJ per step: the rest waits."""
    array = replace(read_reports(RESULTS).find(WIDE.array), dynamic={"all": 0.004}, clock_ns=2.5, events=SHARES)
    assert array.step_pj == pytest.approx(10)
    model = EnergyModel(WIDE, array, 400, empty_rows=empty_rows)
    counters = {"multiply_busy": 600, "preload_busy": 64, "weight_vectors": -(-tokens // 64) * 8}
    counters |= dict.fromkeys(("vector_busy", "write_back_busy", "decode_busy", "bytes_read", "bytes_written"), 0)
    found = model.layer((tokens, 8, 64), 1000, counters).chip
    assert found[ARRAY] == pytest.approx(600 * 10e-12 * share)
    assert found[ARRAY_LOADING] == pytest.approx(64 * 5e-12)
    assert found[ARRAY_WAITING] == pytest.approx((1000 - 600 - 64) * 0.5e-12), "as if clocks were gated"


def test_the_array_waits_while_the_unit_works():
    array = replace(read_reports(RESULTS).find(WIDE.array), dynamic={"all": 0.004}, clock_ns=2.5, events=SHARES)
    assert EnergyModel(WIDE, array, 400, 1.0).other(10, 500, 8).chip[ARRAY_WAITING] == pytest.approx(500 * 0.5e-12)


def test_without_a_report_of_events_the_gap_is_named():
    array = replace(read_reports(RESULTS).find(WIDE.array), events=None)
    counters = {"multiply_busy": 600, "preload_busy": 1, "weight_vectors": 8}
    counters |= dict.fromkeys(("vector_busy", "write_back_busy", "decode_busy", "bytes_read", "bytes_written"), 0)
    found = EnergyModel(WIDE, array, 400).layer((1, 8, 64), 1000, counters).chip
    assert found[ARRAY] == pytest.approx(600 * array.step_pj * 1e-12) and not found[ARRAY_WAITING]
    assert not_measured([replace(array, events=SHARES)]) == NOT_MEASURED
    said = not_measured([array, replace(array, events=SHARES)])
    assert len(said) == len(NO_EVENTS) + len(NOT_MEASURED) and array.title in said[0]


def test_shares_of_a_report(tmp_path):
    """Of the array itself, else of another size of it."""
    energies = {"step": 20, "step_stale": 19, "step_one": 6, "step_zero": 5, "preload": 10, "idle": 2, "stalled": 1}
    design = {
        "top": "fineq_16x16_packed",
        "rows": 16,
        "columns": 16,
        "events": {name: {"pj": value} for name, value in energies.items()},
    }
    path = tmp_path / "array-energy-16x16.json"
    path.write_text(json.dumps({"designs": [design]}))
    (tmp_path / "synth-64x64.json").write_text((RESULTS / "synth-64x64.json").read_text())
    arrays = read_reports(tmp_path).designs
    shares = arrays["fineq_64x64_packed"].events
    assert shares == EventShares(
        "fineq_16x16_packed in array-energy-16x16.json", "fineq_*_packed", 16, 0.95, 0.25, 0.5, idle=0.1, stalled=0.05
    )
    assert arrays["fineq_64x64_cluster_packed"].events is None
    del design["events"]["idle"]
    path.write_text(json.dumps({"designs": [design]}))
    with pytest.raises(EventReportError, match=r"cannot read .*array-energy-16x16.json as a report of `fineq array-en"):
        read_event_shares(tmp_path)
