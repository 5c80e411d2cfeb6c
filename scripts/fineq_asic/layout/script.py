"""Writes the OpenROAD script: floorplan, power grid, placement, clock tree, routing, parasitics, reports.

The script is plain: one command a line, no procedures, so that `dry_check` can go through it without OpenROAD.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fineq_asic.layout.block import Block
from fineq_asic.layout.technology import Technology
from fineq_asic.library.chosen_cells import BUFFERS, DONT_USE, FILLERS, TIES
from fineq_asic.timing.opensta import Constraints

POWER_NETS = {"power": "VDD", "ground": "VSS"}

BOUNDARY_CLOCK = "boundary"
"""Virtual clock of what surrounds the block: same period, and the same latency as the block's own clock tree."""

CLOCK_BUFFERS = BUFFERS[-2:]
NO_LOGIC = ("CLKGATETST*", "ANTENNA*", "WELLTAP*")
"""Cells that the layout tool may not choose beside those of `DONT_USE`."""

OUTPUTS = ("routed.def", "routed.v", "routed.spef", "drc.rpt")
"""Files that a finished run has written."""

MARK = "FINEQ:"
"""Begins the lines that divide the output into sections."""


@dataclass(frozen=True)
class LayoutOptions:
    """How to lay out a block.

    Attributes:
        constraints: clock and environment.
        utilisation: cell area over core area before placement, in percent.
        density_margin: by how much the densest bins of the placement may exceed the average.
        core_margin_um: between the core and the edge of the die.
        strap_pitch_um: distance between power straps.
        signal_layers, clock_layers: lowest and highest routing layer.
        pin_layers: horizontal and vertical layers of the pins.
        threads: of OpenROAD; the result does not depend on it.
    """

    constraints: Constraints = Constraints()
    utilisation: float = 70.0
    density_margin: float = 0.08
    core_margin_um: float = 2.8
    strap_pitch_um: float = 28.0
    signal_layers: tuple[str, str] = ("metal2", "metal7")
    clock_layers: tuple[str, str] = ("metal3", "metal7")
    pin_layers: tuple[tuple[str, ...], tuple[str, ...]] = (("metal3", "metal5"), ("metal2", "metal4"))
    threads: int = 2


def section(name: str) -> str:
    """A command that marks the start of a section of the output."""
    return f"puts {{{MARK} {name}}}"


def constraints_sdc(block: Block, constraints: Constraints) -> str:
    """Constraints of the block as SDC.

    Inputs come from registers of a virtual clock and outputs go to such registers: the clock tree of the block
    delays its own registers, and its neighbours are delayed alike (the script sets that latency).
    """
    period = constraints.clock_ns
    lines = [f"create_clock -name {BOUNDARY_CLOCK} -period {period}"]
    if block.clock:
        lines += [
            f"create_clock -name {block.clock} -period {period} [get_ports {block.clock}]",
            f"set_clock_transition {constraints.input_slew_ns} [get_clocks {block.clock}]",
        ]
    return "\n".join(
        [
            *lines,
            f"set_input_delay {constraints.input_delay_ns} -clock {BOUNDARY_CLOCK} [all_inputs -no_clocks]",
            f"set_output_delay {constraints.output_delay_ns} -clock {BOUNDARY_CLOCK} [all_outputs]",
            f"set_input_transition {constraints.input_slew_ns} [all_inputs]",
            f"set_load {constraints.output_load_ff} [all_outputs]",
            "",
        ]
    )


def layout_script(block: Block, technology: Technology, options: LayoutOptions, work: Path, activity: bool) -> str:
    """The whole script.

    Args:
        block: what is laid out; `work` holds it as `netlist.v`, its constraints as `constraints.sdc`.
        technology: library and LEF.
        options: floorplan and routing.
        work: directory of all files of the run.
        activity: whether `work/activity.saif` holds switching activity.
    """
    steps = [
        _read(block, technology, work),
        _floorplan(technology, options),
        _wires(technology, options),  # routing layers are known by their tracks
        _power_grid(options),
        _placement(options),
        _clock_tree(block) if block.clock else [],
        _timing_repair(block),
        _routing(options, work),
        _extraction(block, work),
        _reports(block, work, activity),
    ]
    return "\n".join(line for step in steps for line in step) + "\n"


def _read(block: Block, technology: Technology, work: Path) -> list[str]:
    return [
        section("read"),
        f"read_lef {technology.technology_lef}",
        f"read_lef {technology.cell_lef}",
        f"read_liberty {technology.pdk.liberty}",
        f"read_verilog {work / 'netlist.v'}",
        f"link_design {block.top}",
        f"read_sdc {work / 'constraints.sdc'}",
        f"set_dont_use {{{' '.join([*DONT_USE, *NO_LOGIC])}}}",
    ]


def _wires(technology: Technology, options: LayoutOptions) -> list[str]:
    models = technology.wire_models()
    lines = [
        f"set_layer_rc -layer {name} -resistance {model.resistance * 1e-3:.6g} -capacitance {model.capacitance:.6g}"
        for name, model in models.items()
    ]
    lines += [
        f"set_layer_rc -via {name} -resistance {resistance * 1e-3:.6g}"
        for name, resistance in technology.via_resistances().items()
    ]
    return [
        section("wires"),
        "set_cmd_units -capacitance fF -resistance kohm -time ns -distance um",
        *lines,
        "set_wire_rc -signal -layers {metal3 metal4 metal5 metal6}",
        "set_wire_rc -clock -layers {metal5 metal6}",
        f"set_routing_layers -signal {'-'.join(options.signal_layers)} -clock {'-'.join(options.clock_layers)}",
        f"set_global_routing_layer_adjustment {'-'.join(options.signal_layers)} 0.3",
    ]


def _floorplan(technology: Technology, options: LayoutOptions) -> list[str]:
    return [
        section("floorplan"),
        f"initialize_floorplan -utilization {options.utilisation:g} -aspect_ratio 1 "
        f"-core_space {options.core_margin_um:g} -site {technology.site}",
        "make_tracks",
    ]


def _power_grid(options: LayoutOptions) -> list[str]:
    power, ground = POWER_NETS["power"], POWER_NETS["ground"]
    pitch = options.strap_pitch_um
    return [
        section("power grid"),
        f"add_global_connection -net {power} -pin_pattern {power} -power",
        f"add_global_connection -net {ground} -pin_pattern {ground} -ground",
        "global_connect",
        f"set_voltage_domain -name CORE -power {power} -ground {ground}",
        "define_pdn_grid -name grid -voltage_domains CORE",
        "add_pdn_stripe -grid grid -layer metal1 -width 0.17 -followpins",
        f"add_pdn_stripe -grid grid -layer metal4 -width 0.56 -pitch {pitch:g} -offset {pitch / 4:g}",
        f"add_pdn_stripe -grid grid -layer metal7 -width 1.2 -pitch {pitch:g} -offset {pitch / 4:g}",
        "add_pdn_connect -grid grid -layers {metal1 metal4}",
        "add_pdn_connect -grid grid -layers {metal4 metal7}",
        "pdngen",
    ]


def _placement(options: LayoutOptions) -> list[str]:
    density = min(0.98, options.utilisation / 100 + options.density_margin)
    horizontal, vertical = (f"{{{' '.join(layers)}}}" for layers in options.pin_layers)
    place_pins = f"place_pins -hor_layers {horizontal} -ver_layers {vertical}"
    return [
        section("placement"),
        f"global_placement -skip_io -density {density:g}",
        place_pins,
        f"global_placement -routability_driven -density {density:g}",
        "estimate_parasitics -placement",
        "repair_design",
        *(f"repair_tie_fanout {cell}/Z -separation 2" for cell in TIES.values()),
        "detailed_placement",
    ]


def _clock_tree(block: Block) -> list[str]:
    return [
        section("clock tree"),
        "estimate_parasitics -placement",
        f"clock_tree_synthesis -root_buf {CLOCK_BUFFERS[-1]} -buf_list {{{' '.join(CLOCK_BUFFERS)}}} "
        "-sink_clustering_enable",
        f"set_propagated_clock [get_clocks {block.clock}]",
        "estimate_parasitics -placement",
        "repair_clock_nets",
        "detailed_placement",
        "estimate_parasitics -placement",
        *_boundary_latency(block),
    ]


def _boundary_latency(block: Block) -> list[str]:
    return [
        f"with_output_to_variable latency {{report_clock_latency -clocks [get_clocks {block.clock}] -digits 4}}",
        r"regexp {([0-9.]+) +([0-9.]+) latency} $latency all early late",
        f"set_clock_latency [expr {{($early + $late) / 2}}] [get_clocks {BOUNDARY_CLOCK}]",
    ]


def _timing_repair(block: Block) -> list[str]:
    # A latch that borrows time has no slack and needs none: with a margin, each would be repaired in vain.
    margin = 0 if block.latches else 0.05
    return [
        section("timing repair"),
        f"repair_timing -setup -setup_margin {margin:g}",
        "repair_timing -hold -hold_margin 0.02",
        "detailed_placement",
        "improve_placement",
        "optimize_mirroring",
        "check_placement -verbose",
    ]


def _routing(options: LayoutOptions, work: Path) -> list[str]:
    return [
        section("routing"),
        "global_route -congestion_iterations 50",
        f"detailed_route -output_drc {work / 'drc.rpt'} -verbose 1",
        f"filler_placement {{{' '.join(FILLERS)}}}",
        "global_connect",
        "check_placement -verbose",
        section("antennas"),
        "check_antennas",
    ]


def _extraction(block: Block, work: Path) -> list[str]:
    return [
        section("extraction"),
        "extract_parasitics -lef_rc -version 2.0",  # earlier versions extract only with a rules file
        f"write_spef {work / 'routed.spef'}",
        f"read_spef {work / 'routed.spef'}",
        f"write_def {work / 'routed.def'}",
        f"write_verilog {work / 'routed.v'}",
        *(_boundary_latency(block) if block.clock else []),
    ]


def _to_edges(block: Block) -> str:
    """Restricts a report to flip-flops, clock gates and outputs, as `timing.opensta` does.

    A latch that borrows time has a slack of zero by definition; the time it has borrowed counts where the path ends.
    """
    if not block.latches:
        return ""
    gates = " ".join(block.gate_enables)
    return f" -to [concat [all_registers -data_pins -edge_triggered] [all_outputs] [get_pins {{{gates}}}]]"


def _reports(block: Block, work: Path, activity: bool) -> list[str]:
    clock = [
        section("clock skew"),
        "report_clock_skew -setup -digits 4",
        section("clock latency"),
        f"report_clock_latency -clocks [get_clocks {block.clock}] -digits 4",
    ]
    power = [f"read_saif -scope {block.top} {work / 'activity.saif'}"] if activity else []
    return [
        section("worst slack"),
        "report_worst_slack -max -digits 4",
        "report_worst_slack -min -digits 4",
        section("setup path"),
        f"report_checks -path_delay max -format full_clock_expanded -digits 4{_to_edges(block)}",
        section("hold path"),
        "report_checks -path_delay min -format full_clock_expanded -digits 4",
        *(clock if block.clock else []),
        section("electrical violations"),
        "report_check_types -max_slew -max_capacitance -violators",
        section("activity"),
        *power,
        "report_activity_annotation",
        section("power"),
        "report_power -digits 6",
        section("end"),
        "exit",
    ]
