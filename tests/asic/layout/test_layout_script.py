"""The script of a layout and its dry check; options and targets."""

import pytest
from layout_samples import two_rows
from ppa_netlists import netlist_of

from fineq_asic.errors import SynthesisError
from fineq_asic.layout.block import make_block
from fineq_asic.layout.check import check_script, split_commands
from fineq_asic.layout.script import LayoutOptions
from fineq_asic.layout.targets import TARGETS, find_target
from fineq_reports.layout.flow import prepare, with_utilisation


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
    with pytest.raises(SynthesisError, match="read_saif: there is no file activity.saif"):
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
        ("detailed_rout", "line 2: unknown command 'detailed_rout'"),
        ("global_placement -densty 0.7", "line 2: global_placement has no option -densty"),
        ("global_placement -density", "line 2: -density of global_placement needs a value"),
        ("global_placement -density high", "line 2: -density of global_placement is 'high', not a number"),
        ("make_tracks metal1", "line 2: make_tracks takes 0 arguments, not 1"),
        ("add_pdn_stripe -grid g -layer metal11 -width 1", "the LEF has no routing layer 'metal11'"),
        ("set_routing_layers -signal metal2-via3", "the LEF has no routing layer 'via3'"),
        ("set_layer_rc -via metal1 -resistance 1", "the LEF has no cut layer 'metal1'"),
        ("initialize_floorplan -utilization 70 -site core", "the LEF has no site 'core'"),
        ("filler_placement {FILLCELL_X1 FILLCELL_X3}", "the LEF has no cell 'FILLCELL_X3'"),
        ("set_dont_use {FOO_*}", "the LEF has no cell 'FOO_*'"),
        ("repair_tie_fanout LOGIC0_X1/ZN -separation 2", "the LEF has no cell 'LOGIC0_X1' with a pin 'ZN'"),
        ("read_lef /nowhere/x.lef", "line 2: read_lef: there is no file x.lef"),
        ("write_def /elsewhere/x.def", "/elsewhere/x.def lies outside the directory of the run"),
        ("set_propagated_clock [get_clock clk]", "line 2: set_propagated_clock: unknown command 'get_clock'"),
        ("with_output_to_variable v {report_clock_latency -clock clk}", "report_clock_latency has no option -clock"),
        ("set_dont_use {A", "line 2: '{A' lacks a closing '}'"),
        ("puts {a}b", "line 2: 'b' follows a closing '}'"),
        ("puts a}", "line 2: '}' closes nothing"),
    ],
)
def test_mistakes_in_a_script_are_found(line, text, technology, tmp_path):
    with pytest.raises(SynthesisError) as error:
        check_script(f"# comment {{\n{line}\nexit\n", technology.lef, tmp_path)
    assert text in str(error.value)


def test_words_of_tcl():
    text = 'a {b c} [d {e}] "f g" h\\ i; j # k\n# l {\nm {n\no}\np'
    assert list(split_commands(text)) == [
        (1, ["a", "{b c}", "[d {e}]", '"f g"', "h\\ i"]),
        (1, ["j", "#", "k"]),
        (3, ["m", "{n\no}"]),
        (5, ["p"]),
    ]


def test_a_tcl_interpreter_reads_the_same_words(prepared):
    tkinter = pytest.importorskip("tkinter", reason="needs Python's Tcl")
    tcl = tkinter.Tcl()
    assert tcl.getboolean(tcl.call("info", "complete", prepared.script))
    names = {words[0] for _, words in split_commands(prepared.script)}
    seen = []
    for name in {*names, "get_clocks", "get_ports"}:
        if name not in ("expr", "regexp"):
            tcl.createcommand(name, lambda *words, name=name: seen.append((name, len(words))) or "1.0")
    tcl.createcommand("with_output_to_variable", lambda variable, _: tcl.setvar(variable, "0.1  0.2 latency") or "")
    tcl.eval(prepared.script)
    counts = [(words[0], len(words) - 1) for _, words in split_commands(prepared.script)]
    ours = [count for count in counts if count[0] not in ("regexp", "with_output_to_variable")]
    assert [count for count in seen if count[0] not in ("get_clocks", "get_ports")] == ours


def test_utilisation_is_limited():
    assert with_utilisation(LayoutOptions(), 80).utilisation == 80
    with pytest.raises(SynthesisError, match="the utilisation is 99 %: choose between 10 and 95"):
        with_utilisation(LayoutOptions(), 99)


def test_targets_name_existing_cores():
    for name in TARGETS:
        assert find_target(name).design().top == find_target(name).core
    with pytest.raises(SynthesisError, match="unknown layout 'row': choose one of row-64, row-64-latch"):
        find_target("row")
