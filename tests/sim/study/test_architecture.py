"""Machines from YAML: the fields of the configuration class, memory, and what is refused with one sentence."""

import pytest

from fineq_hw.config import ACCELERATORS, MacConfig
from fineq_sim.study.architecture import ArchitectureError, ExtrapolatedConfig, find_architecture, read_architecture


def test_a_named_accelerator():
    found = find_architecture("accelerator_16x16")
    assert found.config == ACCELERATORS["accelerator_16x16"] and found.memory.latency == 40 and found.port_bytes == 16


def test_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "array: {encoding: cluster, sign_handling: column}\noutstanding_reads: 16\nclock_mhz: 500\n"
        "memory: {kind: dram, part: LPDDR4-3200 x16, latency: 10}\nattention: {pj_per_mac: 1.5}\n"
        "energy: {dram_pj_per_bit: {own: 6}}\n"
    )
    found = find_architecture(str(path))
    assert found.name == "mine" and found.config.array.encoding == "cluster" and found.config.outstanding_reads == 16
    assert found.clock_mhz == 500 and found.memory.dram is not None and found.memory.dram.banks == 8
    assert found.port_bytes == pytest.approx(12.8)
    assert found.attention.pj_per_mac == 1.5 and found.energy.dram_pj_per_bit == {"own": 6}


def test_a_mac_array_of_the_same_size():
    found = read_architecture("m", {"mac": {"weight_bits": 3, "weight_path": "broadcast", "accumulator_bits": 24}})
    assert isinstance(found.config.array, MacConfig) and found.config.array.rows == 64


def test_a_bus_that_the_rtl_does_not_have():
    with pytest.raises(ArchitectureError, match="extrapolate: true"):
        read_architecture("m", {"bus_bits": 256})
    found = read_architecture("m", {"bus_bits": 256, "extrapolate": True})
    assert isinstance(found.config, ExtrapolatedConfig) and found.extrapolated and "extrapolated" in found.title
    assert not read_architecture("m", {"bus_bits": 64, "extrapolate": True}).extrapolated
    with pytest.raises(ArchitectureError, match="channels_per_tile"):
        read_architecture("m", {"bus_bits": 256, "extrapolate": True, "channels_per_tile": 17})


@pytest.mark.parametrize(
    "described, said",
    [
        ({"base": "acc"}, "base is 'acc'"),
        ({"outstanding_read": 4}, "unknown setting 'outstanding_read', did you mean outstanding_reads?"),
        ({"array": {"colums": 4}}, "unknown setting of array 'colums', did you mean columns?"),
        ({"array": 7}, "array is 7"),
        ({"array": {}, "mac": {}}, "both array and mac"),
        ({"array": {"rows": 0}}, "rows is 0: it must be an integer between"),
        ({"bus_bits": 96}, "bus_bits is 96"),
        ({"channels_per_tile": "x"}, "channels_per_tile is 'x'"),
        ({"memory": {"kind": "sram"}}, "kind is 'sram'"),
        ({"memory": {"kind": "dram", "part": "DDR9"}}, "part is 'DDR9'"),
        ({"memory": {"latency": 0}}, "latency is 0"),
        ({"memory": {"latency": 1.5}}, "latency is 1.5"),
        ({"memory": {"words_per_cycle": 0}}, "words_per_cycle is 0"),
        ({"memory": {"words_per_cycle": "fast"}}, "words_per_cycle is 'fast'"),
        ({"memory": {"part": "x"}}, "unknown setting of memory 'part'"),
        ({"clock_mhz": 0}, "clock_mhz is 0"),
        ({"attention": {"macs_per_cycle": 0}}, "macs_per_cycle is 0"),
        ({"energy": {"dram_pj_per_bit": {"own": -1}}}, "dram_pj_per_bit of own is -1"),
        ({"energy": {"dram_pj_per_bit": 4}}, "must name its figures"),
    ],
)
def test_bad_settings(described, said):
    with pytest.raises(ArchitectureError, match=said.replace("?", r"\?")) as caught:
        read_architecture("m", described)
    assert "\n" not in str(caught.value)


def test_bad_files(tmp_path):
    with pytest.raises(ArchitectureError, match="did you mean accelerator_16x16"):
        find_architecture("acelerator_16x16")
    path = tmp_path / "x.yaml"
    for text, said in (
        ("a: [", "as YAML"),
        ("- 1\n", "must be a list of settings"),
        ("base: x\n", "x.yaml: base is 'x'"),
    ):
        path.write_text(text)
        with pytest.raises(ArchitectureError, match=said):
            find_architecture(str(path))
