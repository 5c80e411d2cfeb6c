"""Static timing of a mapped netlist with OpenSTA.

Debian's OpenSTA goes on after an error with whatever it has read, so its output is scanned and the number of
linked cells is compared with the netlist: a run that reports half a design must fail.

Latches borrow time: what arrives while one is open goes through, and the path behind it starts at the arrival.
OpenSTA calls the slack of every such latch zero, so the worst slack is taken over flip-flops, clock gates and
outputs, with the borrowed time in it; a latch whose data comes after it has closed counts with its negative
slack. The highest clock is bounded by the latches' open phase as well.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fineq.common.tools import find_tool
from fineq_asic.clock import CLOCK_NS
from fineq_asic.errors import SynthesisError
from fineq_asic.library.chosen_cells import INVERTER
from fineq_asic.library.liberty import Library, read_liberty
from fineq_asic.library.pdk import Pdk
from fineq_asic.library.recognition import enable_pin
from fineq_asic.netlist.flat import named_instances
from fineq_asic.netlist.netlist import Instance, Module, Netlist, Port

STA_VARIABLE = "OPENSTA_EXE"
OPENROAD_VARIABLE = "OPENROAD_EXE"
WIRE_LOAD = "5K_hvratio_1_1"
"""Wire-load model of the library that stands for wires before layout, in timing and in power."""

_TROUBLE = re.compile(
    r"^(?:.*\b(?:Error|ERROR)\b.*|.*syntax error.*"
    r"|Warning.*(?:not found|unlinked|no port|does not exist|black box).*)$",
    re.MULTILINE,
)
_BORROWED = re.compile(r"^max time borrow\s+(-?[\d.]+)\nactual time borrow\s+(-?[\d.]+)$", re.MULTILINE)
_SLACK = re.compile(r"(-?[\d.]+)\s+slack \((?:MET|VIOLATED)\)")


@dataclass(frozen=True)
class Constraints:
    """Timing constraints.

    Attributes:
        clock_ns: clock period.
        clock_port: name of the clock port.
        input_delay_ns: when inputs arrive after the clock edge: the clock-to-output time of a register.
        output_delay_ns: how long before the next edge outputs are needed: the setup time of a register.
        input_slew_ns: slew of inputs and of the clock.
        output_load_ff: load of every output port.
    """

    clock_ns: float = CLOCK_NS
    clock_port: str = "clk"
    input_delay_ns: float = 0.10
    output_delay_ns: float = 0.05
    input_slew_ns: float = 0.02
    output_load_ff: float = 5.0

    def sdc(self) -> str:
        """The constraints as SDC."""
        inputs = f"[remove_clock [all_inputs] {self.clock_port}]"
        return "\n".join(
            [
                "proc remove_clock {ports clock} {",
                "  set kept {}",
                "  foreach port $ports { if {[get_property $port full_name] ne $clock} { lappend kept $port } }",
                "  return $kept",
                "}",
                f"create_clock -name {self.clock_port} -period {self.clock_ns} [get_ports {self.clock_port}]",
                f"set_input_delay {self.input_delay_ns} -clock {self.clock_port} {inputs}",
                f"set_output_delay {self.output_delay_ns} -clock {self.clock_port} [all_outputs]",
                f"set_input_transition {self.input_slew_ns} [all_inputs]",
                f"set_clock_transition {self.input_slew_ns} [get_clocks {self.clock_port}]",
                f"set_load {self.output_load_ff} [all_outputs]",
                f"set_wire_load_model -name {WIRE_LOAD}",
                "",
            ]
        )


@dataclass(frozen=True)
class TimingReport:
    """Result of a timing run.

    Attributes:
        clock_ns: clock period that was asked for.
        worst_slack_ns: least setup slack; negative where the clock is not met.
        path: start, end and stages of the worst path, one line each.
        hold_slack_ns: least hold slack with an ideal clock.
        latch_margin_ns: time between the latest data of a latch and its closing; None without latches.
    """

    clock_ns: float
    worst_slack_ns: float
    hold_slack_ns: float
    path: tuple[str, ...]
    latch_margin_ns: float | None = None

    @property
    def met(self) -> bool:
        return self.worst_slack_ns >= 0

    @property
    def max_clock_mhz(self) -> float:
        """Highest clock that the worst path and the open phase of the latches, half a period, allow."""
        slack = self.worst_slack_ns
        if self.latch_margin_ns is not None:
            slack = min(slack, 2 * self.latch_margin_ns)
        return 1000.0 / (self.clock_ns - slack)

    def verdict(self) -> str:
        """One sentence: met or by how much not, and where."""
        where = f"from {self.path[0]} to {self.path[1]}"
        if self.met:
            return f"a clock of {self.clock_ns:g} ns is met with {self.worst_slack_ns:.3f} ns to spare {where}"
        return f"a clock of {self.clock_ns:g} ns is missed by {-self.worst_slack_ns:.3f} ns {where}"


def find_sta(variable: str = STA_VARIABLE, program: str = "sta") -> Path:
    """Locate OpenSTA.

    Raises:
        SynthesisError: it is neither named by the variable nor on the PATH.
    """
    return find_tool("OpenSTA", program, f"install the package opensta or set {variable}", variable, SynthesisError)


def sta_version(executable: Path) -> str:
    """What the tool says of itself, such as `2.0.17`."""
    with tempfile.TemporaryDirectory() as directory:  # it leaves a history file where it runs
        command = [str(executable), "-version"]
        output = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False).stdout
    return output.strip().splitlines()[0] if output.strip() else "unknown"


def run_sta(executable: Path, script: str, work: Path, name: str) -> str:
    """Run a Tcl script and return its output.

    Raises:
        SynthesisError: the tool fails, or reports any error or missing object, even if it went on.
    """
    file = work / f"{name}.tcl"
    file.write_text(script + "\nputs {FINEQ: end}\nexit\n", encoding="utf-8")
    result = subprocess.run(
        [str(executable), "-no_splash", "-exit", str(file.resolve())],
        cwd=work,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    output = result.stdout + result.stderr
    (work / f"{name}.log").write_text(output, encoding="utf-8")
    check_sta_output(output, result.returncode, f"{name}.log")
    return output


def check_sta_output(output: str, returncode: int, log: str) -> None:
    """Raise `SynthesisError` if the output tells of any trouble."""
    trouble = _TROUBLE.search(output)
    if trouble:
        raise SynthesisError(f"OpenSTA reports a problem: {trouble.group().strip()} (log: {log})")
    if returncode != 0 or "FINEQ: end" not in output:
        raise SynthesisError(f"OpenSTA stopped early with exit status {returncode} (log: {log})")


def analyse_timing(
    netlist: Netlist, verilog: Path, constraints: Constraints, pdk: Pdk, executable: Path, work: Path
) -> TimingReport:
    """Setup and hold of a mapped netlist.

    Args:
        netlist, verilog: the netlist and the file it was written to.
        constraints: clock and environment.
        pdk: the library.
        executable: OpenSTA.
        work: directory for script, constraints and log.

    Raises:
        SynthesisError: OpenSTA fails, or has linked fewer cells than the netlist has.
    """
    (work / "constraints.sdc").write_text(constraints.sdc(), encoding="utf-8")
    latches, gate_enables = _latches_and_gate_enables(netlist, read_liberty(pdk.liberty))
    full = "report_checks -path_delay max -format full -fields {slew cap} -digits 4"
    edges = f"[concat [all_registers -data_pins -edge_triggered] [all_outputs] [get_pins {{{' '.join(gate_enables)}}}]]"
    borrowed = "report_checks -path_delay max -format full -digits 4 -to [all_registers -data_pins -level_sensitive]"
    script = "\n".join(
        [
            f"read_liberty {pdk.liberty}",
            f"read_verilog {verilog.resolve()}",
            f"link_design {netlist.top}",
            f"source {(work / 'constraints.sdc').resolve()}",
            'puts "FINEQ: cells [llength [get_cells -hierarchical *]]"',
            "puts {FINEQ: setup}",
            f"{full} -to {edges}" if latches else full,
            "puts {FINEQ: latches}",
            f"{borrowed} -endpoint_count {latches}" if latches else "",
            "puts {FINEQ: hold}",
            "report_checks -path_delay min -format full -digits 4",
            "puts {FINEQ: done}",
        ]
    )
    output = run_sta(executable, script, work, "timing")
    expected = sum(netlist.multiplicity[name] * len(netlist.modules[name].instances) for name in netlist.multiplicity)
    linked = re.search(r"^FINEQ: cells (\d+)$", output, re.MULTILINE)
    if linked is None or int(linked.group(1)) != expected:
        found = linked.group(1) if linked else "no"
        raise SynthesisError(
            f"OpenSTA linked {found} instances of {netlist.top}, the netlist has {expected}: see timing.log"
        )
    _, setup, levels, hold = re.split(r"^FINEQ: (?:setup|latches|hold)$", output, flags=re.MULTILINE)
    slack = _SLACK.search(setup)
    if slack is None:
        raise SynthesisError(f"OpenSTA found no constrained path in {netlist.top}: see timing.log")
    worst, path = float(slack.group(1)), _path(setup)
    late = [float(text) for text in _SLACK.findall(levels)]
    if late and min(late) < min(worst, 0.0):
        worst, path = min(late), _path(levels)
    margins = [float(limit) - float(used) for limit, used in _BORROWED.findall(levels)]
    hold_slack = _SLACK.search(hold)
    return TimingReport(
        constraints.clock_ns,
        worst,
        float(hold_slack.group(1)) if hold_slack else float("nan"),
        path,
        min(margins, default=constraints.clock_ns / 2) if latches else None,
    )


def _latches_and_gate_enables(netlist: Netlist, library: Library) -> tuple[int, list[str]]:
    """Number of latches, and the enable pins of all clock gates with their instance paths."""
    latches, pins = 0, []
    for path, kind in named_instances(netlist):
        if kind in netlist.modules:
            continue
        cell = library.cell(kind)
        latches += cell.register is not None and cell.register.kind == "latch"
        if cell.clock_gate:
            pins.append("/".join((*path, enable_pin(cell))))
    return latches, pins


_MIN_THINNED_CELLS = 500


def thin(
    netlist: Netlist, port_loads: dict[tuple[str, int], float], library: Library, keep_last: bool = True
) -> Netlist:
    """A netlist with the same timing and far fewer cells, to keep OpenSTA quick.

    Where a parent holds more than two copies of a large module, only the first and, unless told otherwise, the
    last stay. The others become stand-ins: same ports, every input loaded with inverters of at least the same
    capacitance. Their outputs lead nowhere, so what the rows between do is not analysed; it is what the first
    and last row do.
    """
    unit = library.cell(INVERTER).pins["A"].capacitance
    modules = dict(netlist.modules)
    for name in netlist.bottom_up:
        parent = netlist.modules[name]
        kinds: dict[str, list[int]] = {}
        for index, instance in enumerate(parent.instances):
            if instance.kind in netlist.modules:
                kinds.setdefault(instance.kind, []).append(index)
        instances = list(parent.instances)
        for kind, places in kinds.items():
            if len(places) > 2 and len(netlist.modules[kind].instances) >= _MIN_THINNED_CELLS:
                stand_in = _stand_in(netlist.modules[kind], port_loads, unit)
                modules[stand_in.name] = stand_in
                for index in places[1:-1] if keep_last else places[1:]:
                    old = instances[index]
                    instances[index] = Instance(old.name, stand_in.name, old.pins)
        modules[name] = Module(name, parent.ports, instances, parent.net_names)
    return Netlist(netlist.top, modules)


def _stand_in(module: Module, port_loads: dict[tuple[str, int], float], unit: float) -> Module:
    instances = []
    for port_name, port in module.ports.items():
        for bit in port.bits if port.direction == "input" else []:
            count = -(-port_loads[module.name, bit] // unit)
            instances += [Instance(f"load_{port_name}_{bit}_{i}", INVERTER, {"A": [bit]}) for i in range(int(count))]
    ports = {name: Port(port.direction, list(port.bits)) for name, port in module.ports.items()}
    return Module(f"{module.name}_load", ports, instances, stands_for_load=True)


def _path(report: str) -> tuple[str, ...]:
    start = re.search(r"Startpoint: (\S+)", report)
    end = re.search(r"Endpoint: (\S+)", report)
    stages = re.findall(r"[\^v] (\S+) \((\w+)\)", report)
    return (
        start.group(1) if start else "?",
        end.group(1) if end else "?",
        *(f"{pin} ({cell})" for pin, cell in stages),
    )
