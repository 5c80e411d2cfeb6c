"""The manifest says of every module what its component says, and is read back as it was written."""

from __future__ import annotations

import re

import pytest

from fineq_hw.array.core import PackedCore
from fineq_hw.config import ARRAYS
from fineq_hw.export.conversion import convert
from fineq_hw.export.manifest import MANIFEST, Manifest, read_manifest
from fineq_hw.export.verilog import write_verilog
from fineq_hw.lib.role import CoreBlock, Synthesis

TOP = "fineq_5x7_latch_packed"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    directory = tmp_path_factory.mktemp("manifest")
    write_verilog(directory, [TOP])
    return directory


def test_it_is_read_back_as_it_was_made(written):
    _, made = convert({TOP: PackedCore(ARRAYS["fineq_5x7_latch"])})
    assert read_manifest(written) == made


def test_ports_are_those_of_the_verilog(written):
    """Names, directions and widths, in the text that Yosys has written."""
    declaration = re.compile(r"^  (input|output) (?:signed )?(?:\[(\d+):0\] )?\\?(\w+) ?;$", re.MULTILINE)
    for name, entry in read_manifest(written).modules.items():
        text = (written / f"{name}.v").read_text(encoding="utf-8")
        found = {(port, way, int(high or 0) + 1) for way, high, port in declaration.findall(text)}
        assert found == {(port.name, port.direction, port.bits) for port in entry.ports}, name


def test_components_are_described(written):
    manifest = read_manifest(written)
    top = manifest.entry(TOP)
    assert (top.component, top.kind, top.block) == ("PackedCore", "packed_core", CoreBlock.SLICE_MULTIPLEXER)
    decoder = manifest.entry(top.children["decoder"])
    assert (decoder.kind, decoder.block, decoder.synthesis) == ("line_decoder", CoreBlock.DECODERS, Synthesis.KEEP)
    array = manifest.entry(manifest.entry(top.children["core"]).children["array"])
    assert array.buffers == CoreBlock.BROADCAST_BUFFERS
    row = manifest.entry(array.children["row_4"])
    assert row.repeated and row.children["element_0"].startswith("fineq_processing_element")
    assert manifest.entry(row.children["element_0"]).both_polarities
    assert str(ARRAYS["fineq_5x7_latch"]) == row.config


def test_an_old_or_missing_manifest_is_one_sentence(tmp_path):
    sentence = r"manifest.json is no manifest of this version \(.*\): write the Verilog again"
    with pytest.raises(ValueError, match=sentence):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST).write_text('{"tops": {}, "sha256": {}}', encoding="utf-8")
    with pytest.raises(ValueError, match="is no manifest of this version"):
        read_manifest(tmp_path)
    with pytest.raises(ValueError, match="the manifest has no module fineq_row: was the Verilog written by"):
        Manifest().entry("fineq_row")
