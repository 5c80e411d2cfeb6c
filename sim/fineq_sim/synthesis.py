"""The synthesis flow of one design: Verilog, mapping, timing, gate-level run on real data, power."""

from __future__ import annotations

import copy
import importlib.metadata
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fineq_hw.config import ArrayConfig
from fineq_hw.ppa.activity import write_saif
from fineq_hw.ppa.buffers import BufferOptions, insert_buffers
from fineq_hw.ppa.designs import Design, attribute_blocks, designs_of
from fineq_hw.ppa.errors import SynthesisError
from fineq_hw.ppa.liberty import Library, read_liberty
from fineq_hw.ppa.mapping import map_design
from fineq_hw.ppa.netlist import Netlist, flatten, named_cells, write_verilog
from fineq_hw.ppa.pdk import Pdk, find_pdk
from fineq_hw.ppa.power import PowerEngine, PowerOptions
from fineq_hw.ppa.power_check import find_power_tools, report_power
from fineq_hw.ppa.report import Result, Run
from fineq_hw.ppa.timing import WIRE_LOAD, Constraints, TimingReport, analyse_timing, find_sta, sta_version, thin
from fineq_hw.timing import result_latency
from fineq_hw.verilog import write_verilog as write_rtl
from fineq_sim.netlist_activity import run_core
from fineq_sim.tiles import DataSet, gaussian_data, make_tiles, mean_vector_cycles

_RECORDED_CYCLES = 64
_CROSS_CHECK_CELLS = 150_000
"""Larger netlists are not handed to other power tools: the activity file would be gigabytes."""

_LADDER = (("area", 0.5), ("area", 0.3), ("balanced", 0.5), ("speed", 0.5), ("speed", 0.3))
"""Mapping effort and buffer utilisation, tried in this order until the clock is met."""

Progress = Callable[[str], None]


class _Steps:
    """Progress lines with the time that each step took."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.name, self.progress, self.start = name, progress, time.monotonic()

    def done(self, step: str) -> None:
        now = time.monotonic()
        self.progress(f"{self.name}: {step} ({now - self.start:.1f} s)")
        self.start = now


def synthesise(
    design: Design,
    data: DataSet,
    pdk: Pdk,
    library: Library,
    sta: Path,
    clock_ns: float,
    work: Path,
    progress: Progress,
) -> Result:
    """Take one design through the whole flow.

    Args:
        design: what.
        data: weights and activations for the gate-level run.
        pdk, library: the cells.
        sta: OpenSTA.
        clock_ns: clock period.
        work: directory for the netlist, the logs and everything else that the tools write.
        progress: called with a line after each step.

    Raises:
        SynthesisError: any step fails; a clock that is not met is no failure but part of the result.
    """
    steps = _Steps(design.top, progress)
    files = write_rtl(work / "rtl", [design.top])[design.top]
    constraints = Constraints(clock_ns)
    netlist, timing = _close_timing(design, files, pdk, library, sta, constraints, work, steps)
    wire_load = library.wire_loads[WIRE_LOAD]

    flat = flatten(netlist, library, attribute_blocks(netlist, library))
    latency = result_latency(design.config)
    warm_up = latency + 8 if isinstance(design.config, ArrayConfig) else 2 * latency
    tiles = make_tiles(data, design.config, warm_up + _RECORDED_CYCLES)
    run = run_core(
        flat, design.config, tiles, packed=design.packed, warm_up=warm_up, cycles=_RECORDED_CYCLES, source=data.source
    )
    steps.done(f"{run.results_checked} results bit-exact, {run.cycles_per_vector:.3f} cycles per weight vector")

    options = PowerOptions(clock_ns, constraints.clock_port, constraints.input_slew_ns, constraints.output_load_ff)
    power = PowerEngine(flat, library, wire_load, options).evaluate(run.activity)
    cells = {kind: len(group) for kind, group in flat.groups.items()}
    cross_check = {}
    tools = find_power_tools()
    if tools and sum(cells.values()) <= _CROSS_CHECK_CELLS:
        write_saif(run.activity, named_cells(netlist, library), design.top, clock_ns, work / "activity.saif")
        cross_check = {
            name: report_power(tool, netlist, work / "netlist.v", work / "activity.saif", constraints, pdk, work)
            for name, tool in tools.items()
        }
    result = Result(
        design=design,
        cells=sum(cells.values()),
        registers=sum(count for kind, count in cells.items() if library.cells[kind].register is not None),
        area={block: area for block, area in flat.block_area().items() if area},
        timing=timing,
        power={block: value for block, value in power.items() if value.total},
        cycles_per_vector=run.cycles_per_vector,
        checked=run.results_checked,
        cross_check=cross_check,
    )
    steps.done(f"{result.total_area:.0f} um2, {result.total_power.total * 1e3:.2f} mW")
    return result


def _close_timing(
    design: Design,
    files: Sequence[Path],
    pdk: Pdk,
    library: Library,
    sta: Path,
    constraints: Constraints,
    work: Path,
    steps: _Steps,
) -> tuple[Netlist, TimingReport]:
    """The smallest netlist on `_LADDER` that meets the clock, or the fastest if none does."""
    best: tuple[Netlist, TimingReport] | None = None
    mapped: dict[str, Netlist] = {}
    for effort, utilisation in _LADDER:
        if effort not in mapped:
            options = design.mapping(constraints.clock_ns, effort)
            mapped = {effort: map_design(files, design.top, options, pdk, library, work)}
            steps.done(f"mapped for {effort}")
        netlist = copy.deepcopy(mapped[effort])
        port_loads = insert_buffers(netlist, library, library.wire_loads[WIRE_LOAD], BufferOptions(utilisation))
        thinned = thin(netlist, port_loads, library)
        write_verilog(thinned, work / "timing.v")
        timing = analyse_timing(thinned, work / "timing.v", constraints, pdk, sta, work)
        steps.done(timing.verdict())
        if best is None or timing.worst_slack_ns > best[1].worst_slack_ns:
            best = (netlist, timing)
        if timing.met:
            break
    write_verilog(best[0], work / "netlist.v")
    return best


def synthesise_size(
    size: str, data: DataSet, clock_ns: float, work: Path, progress: Progress, tops: list[str] | None = None
) -> Run:
    """All designs of a size on the same data.

    Args:
        size: such as `16x16`.
        data: for the gate-level runs.
        clock_ns: clock period.
        work: directory for intermediate files, one folder a design.
        progress: called with progress lines.
        tops: only these designs.

    Raises:
        SynthesisError: unknown size or design, a missing tool, or a failing step.
    """
    if clock_ns <= 0:
        raise SynthesisError(f"the clock period is {clock_ns:g} ns: it must be positive")
    designs = designs_of(size)
    if tops:
        unknown = set(tops) - {design.top for design in designs}
        if unknown:
            known = ", ".join(design.top for design in designs)
            raise SynthesisError(f"unknown design {sorted(unknown)[0]!r}: choose from {known}")
        designs = [design for design in designs if design.top in tops]
    pdk, sta = find_pdk(), find_sta()
    library = read_liberty(pdk.liberty)
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SynthesisError(f"cannot write to {work}: {error.strerror}") from None
    results = [
        synthesise(design, data, pdk, library, sta, clock_ns, work / design.top, progress) for design in designs
    ]
    columns = designs[0].config.columns
    others = {data.source: mean_vector_cycles(data, columns)}
    if "Gaussian" not in data.source:
        gaussian = gaussian_data()
        others[gaussian.source] = mean_vector_cycles(gaussian, columns)
    tools = {
        "library": f"{library.name} from {pdk.origin}",
        "library sha256": pdk.liberty_sha256(),
        "pyosys": importlib.metadata.version("pyosys"),
        "amaranth": importlib.metadata.version("amaranth"),
        "OpenSTA": sta_version(sta),
        "python": platform.python_version(),
    }
    command = f"python scripts/synth.py --size {size}" + (f" --clock-ns {clock_ns:g}" if clock_ns != 2.5 else "")
    return Run(size, clock_ns, results, tools, data.source, others, command)


