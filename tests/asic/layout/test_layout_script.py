"""The script of a layout and its dry check; options and targets."""

import fnmatch
import sys

import pytest
from helpers.netlists.layout_samples import two_rows
from helpers.netlists.ppa_netlists import netlist_of

from fineq_asic.errors import SynthesisError
from fineq_asic.layout import dry_check, script
from fineq_asic.layout.block import make_block
from fineq_asic.layout.dry_check import check_tcl
from fineq_asic.layout.flow import prepare, with_utilisation
from fineq_asic.layout.script import LayoutOptions
from fineq_asic.layout.targets import TARGETS, find_target


def test_prepared_script_passes_its_check(prepared):
    assert prepared.commands > 90
    assert prepared.script == (prepared.work / "layout.tcl").read_text(encoding="utf-8")
    for step in ("floorplan", "power grid", "placement", "clock tree", "timing repair", "routing", "extraction"):
        assert f"puts {{FINEQ: {step}}}" in prepared.script


def test_block_without_registers_has_no_clock_tree(library, technology, tmp_path):
    prepared = prepare("two", "two", make_block(two_rows(), library), technology, LayoutOptions(), tmp_path)
    assert "clock_tree_synthesis" not in prepared.script
    assert "get_ports clk" not in (tmp_path / "constraints.sdc").read_text(encoding="utf-8")


def test_activity_is_read_only_if_there_is_one(block, technology, tmp_path):
    work = tmp_path / "work"
    with pytest.raises(SynthesisError, match="and: there is no file activity.saif with the activity of somewhere"):
        prepare("and", "and", block, technology, LayoutOptions(), work, "somewhere")
    (work / "activity.saif").write_text("", encoding="utf-8")
    assert "read_saif -scope top" in prepare("and", "and", block, technology, LayoutOptions(), work, "x").script


def test_many_pins_lower_the_utilisation(library, technology, tmp_path):
    inputs = [f"i{n}" for n in range(40)]
    netlist = netlist_of(inputs, ["z"], [("INV_X1", {"A": name}) for name in inputs])
    prepared = prepare("pins", "pins", make_block(netlist, library), technology, LayoutOptions(), tmp_path)
    # 41 pins on every second track of four layers: the side is 41 / (1/0.14 + 1/0.28 + 1/0.19 + 1/0.28) um
    side = 41 / (1 / 0.14 + 2 / 0.28 + 1 / 0.19)
    assert prepared.options.utilisation == min(70, int(100 * 40 * 0.532 / side**2))
    dense = netlist_of([*inputs, *(f"j{n}" for n in range(400))], ["z"], [("INV_X1", {"A": "i0"})])
    assert prepare("d", "d", make_block(dense, library), technology, LayoutOptions(), tmp_path).options.utilisation < 5


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("set_dont_use {A", "missing close-brace"),
        ("puts {a}b", "Tcl does not take 'puts {a}b': extra characters after close-brace"),
        ('puts "a', 'missing "'),
        ("set_propagated_clock [get_clocks clk", "missing close-bracket"),
        ("set_clock_latency $late", "does not take 'set_clock_latency $late': can't read \"late\": no such variable"),
        ("set_clock_latency [expr {1 +}]", "missing operand"),
        ("set_clock_latency [regexp {[0-9} x]", "brackets [] not balanced"),
    ],
)
def test_mistakes_in_a_script_are_found(line, text):
    with pytest.raises(SynthesisError) as error:
        check_tcl(f"# comment {{\n{line}\nexit\n", "layout.tcl")
    assert str(error.value).startswith("layout.tcl: ") and text in str(error.value)


def test_commands_are_counted_and_nothing_is_done(tmp_path):
    assert check_tcl('a {b c} [d {e}] "f g"; j # k\n# l {\nm {n\no}\np\nexit\n', "x") == 6
    for command in (f"open {tmp_path / 'x'} w", "exec true", f"cd {tmp_path}"):
        check_tcl(command, "x")  # counted as one that the interpreter does not know
    assert not list(tmp_path.iterdir())


def test_without_tcl_the_script_is_written_and_called_unchecked(block, technology, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tkinter", None)
    assert dry_check.check_tcl("puts a", "x") is None
    prepared = prepare("and", "and", block, technology, LayoutOptions(), tmp_path)
    assert (tmp_path / "layout.tcl").is_file()
    assert prepared.checked() == "script written but not checked, because this Python comes without Tcl (tkinter)"


def test_the_script_names_layers_and_cells_of_the_library(technology):
    lef, cells, options = technology.lef, technology.cell_sizes, LayoutOptions()
    layers = [*options.signal_layers, *options.clock_layers, *options.pin_layers[0], *options.pin_layers[1]]
    assert {lef.layers[layer].kind for layer in layers} == {"ROUTING"}
    assert technology.site in lef.sites
    named = {*script.FILLERS, *script.CLOCK_BUFFERS, *script.TIES.values()}
    assert named <= cells.keys()
    for pattern in (*script.DONT_USE, *script.NO_LOGIC):
        assert fnmatch.filter(cells, pattern), pattern


def test_utilisation_is_limited():
    assert with_utilisation(LayoutOptions(), 80).utilisation == 80
    with pytest.raises(SynthesisError, match="the utilisation is 99 %: choose between 10 and 95"):
        with_utilisation(LayoutOptions(), 99)


def test_targets_name_existing_cores():
    for name in TARGETS:
        assert find_target(name).design().top == find_target(name).core
    with pytest.raises(SynthesisError, match="unknown layout 'row': choose one of row-64, row-64-latch"):
        find_target("row")
