"""The logic of a whole accelerator around its array, mapped to the cells: area and timing block by block.

The blocks stay modules, so paths from block to block are analysed as well. Large memories and the array itself are
not mapped: a stand-in with a register behind every input and before every output takes the place of each. The
outputs of a memory's stand-in come `MEMORY_ACCESS_NS` after the clock edge and its inputs have to be there
`MEMORY_SETUP_NS` before the next one, which stands for a compiled memory; the array has registers there itself.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fineq_asic.errors import SynthesisError
from fineq_asic.flows.stand_ins import LogicVerilog, MemoryArray, is_array, with_stand_ins
from fineq_asic.library.liberty import Library
from fineq_asic.library.pdk import Pdk
from fineq_asic.mapping.closure import Tools, find_tools
from fineq_asic.mapping.placed_cells import check_placed
from fineq_asic.mapping.yosys import MappingOptions, map_design
from fineq_asic.netlist.fanout import BufferOptions, insert_buffers
from fineq_asic.netlist.flat import named_instances
from fineq_asic.netlist.netlist import Netlist
from fineq_asic.netlist.verilog import write_verilog
from fineq_asic.timing.opensta import Constraints, TimingReport, analyse_timing, run_sta, thin
from fineq_hw.accelerator import make_accelerator
from fineq_hw.config import ACCELERATORS
from fineq_hw.export.conversion import convert
from fineq_hw.export.manifest import Manifest
from fineq_hw.lib.role import MachineBlock, Synthesis

MEMORY_ACCESS_NS = 1.0
MEMORY_SETUP_NS = 0.2
"""Assumed of memory macros of up to 100 kbit in 45 nm; no macro was compiled."""

EFFORT = "speed"
"""Mapping effort; with less, the comparisons of 40-bit addresses ripple and miss 400 MHz."""

_UTILISATIONS = (0.5, 0.3)
"""Buffer utilisation, tried in this order until the clock is met."""

GLUE = MachineBlock.TOP_LEVEL.value
_MACHINE_BLOCKS = tuple(block.value for block in MachineBlock)


@dataclass(frozen=True)
class BlockFigures:
    """One kind of block.

    Attributes:
        name: instance in the accelerator.
        instances: how many there are.
        cells, area: of one, without memories and without blocks that have a line of their own; µm².
        slack_ns: least setup slack of all paths that end in it.
    """

    name: str
    instances: int
    cells: int
    area: float
    slack_ns: float


@dataclass(frozen=True)
class BlocksReport:
    """Everything the report says; `block`: the only one that was mapped, if not all were."""

    accelerator: str
    block: str | None
    clock_ns: float
    timing: TimingReport
    blocks: tuple[BlockFigures, ...]
    memories: tuple[MemoryArray, ...]


@dataclass(frozen=True)
class _MacroConstraints(Constraints):
    """Constraints with the timing of memories; `macros`: paths of their stand-ins."""

    macros: tuple[str, ...] = ()

    def sdc(self) -> str:
        lines = [super().sdc()]
        for path in self.macros:
            # An early clock stands for the setup: an uncertainty would give every pin tags of its own, hours of them.
            lines += [
                f"set_clock_latency {MEMORY_ACCESS_NS} [get_pins {path}/*/CK]",
                f"set_clock_latency -{MEMORY_SETUP_NS} [get_pins {path}/held_*/CK]",
                f"set_false_path -from [get_pins {path}/held_*/CK]",
            ]
        return "\n".join([*lines, ""])


@dataclass(frozen=True)
class _Machine:
    """What is mapped of an accelerator.

    Attributes:
        top: the accelerator or the block.
        names: name in the report by module; the accelerator's own blocks come in its order.
        manifest: of all modules.
        logic: Verilog with stand-ins.
        kept: what stays a module.
    """

    top: str
    names: dict[str, str]
    manifest: Manifest
    logic: LogicVerilog
    kept: tuple[str, ...]


def measure(
    accelerator: str,
    work: Path,
    block: str | None = None,
    clock_ns: float = 2.5,
    progress: Callable[[str], None] = lambda line: None,
) -> BlocksReport:
    """Map an accelerator's logic and time it.

    Args:
        accelerator: name in `ACCELERATORS`.
        work: directory for all that the tools write; created.
        block: only this block, by its instance name in the accelerator; its ports are then those of a chip.
        clock_ns: clock period.
        progress: called with a line after each step.

    Raises:
        SynthesisError: unknown accelerator or block, a missing tool, or a failing step.
    """
    if accelerator not in ACCELERATORS:
        raise SynthesisError(f"unknown accelerator {accelerator!r}: choose one of {', '.join(ACCELERATORS)}")
    tools = find_tools()
    work.mkdir(parents=True, exist_ok=True)
    work = work.resolve()
    machine = _prepare(accelerator, block, work)
    files = machine.logic.write(work)
    progress(f"{machine.top}: {len(files)} modules, mapping for {EFFORT}")
    options = MappingOptions(clock_ns, machine.kept, effort=EFFORT)
    mapped = map_design(files, machine.top, options, tools.pdk, tools.library, work)
    places = _stand_in_places(mapped, machine)
    memories = _memories(places, machine)
    bits = sum(each.words * each.bits for each in memories)
    progress(f"{machine.top}: mapped; {bits:,} bits of memory are left out")
    paths = sorted(f"{path}/{box}".lstrip("/") for found in places.values() for path, box, _ in found)
    constraints = _MacroConstraints(clock_ns, macros=tuple(paths))
    timing, netlist, slacks = _close_timing(mapped, constraints, tools, work, progress)
    rows = _rows(netlist, tools.library, machine, slacks, places)
    return BlocksReport(accelerator, block, clock_ns, timing, rows, tuple(memories))


def _prepare(accelerator: str, block: str | None, work: Path) -> _Machine:
    """Verilog of what is to be mapped, and what its modules are."""
    texts, manifest = convert({accelerator: make_accelerator(ACCELERATORS[accelerator])})
    blocks = manifest.entry(accelerator).children
    if block is not None and block not in blocks:
        raise SynthesisError(f"{accelerator} has no block {block!r}: choose one of {', '.join(sorted(blocks))}")
    top = accelerator if block is None else blocks[block]
    logic = with_stand_ins(texts, manifest, top, work)
    check_placed(manifest, logic.texts)
    names = {top: GLUE if block is None else block} | {kind: name for name, kind in blocks.items()}
    kept = (*blocks.values(), *(name for name in logic.texts if _stays(manifest, name)))
    return _Machine(top, names, manifest, logic, kept)


def _stand_in_places(netlist: Netlist, machine: _Machine) -> dict[str, list[tuple[str, str, str]]]:
    """By module of the netlist: path of the module, instance in it and kind of every stand-in for memories.

    A memory may stand in a module that was dissolved, a queue for instance: it belongs to the block that is left.
    """
    boxes = set(machine.logic.memory_stand_ins.values())
    kinds: dict[tuple[str, ...], str] = {(): netlist.top, **dict(named_instances(netlist))}
    found: dict[str, list[tuple[str, str, str]]] = {}
    for path, kind in kinds.items():
        if kind in boxes:
            found.setdefault(kinds[path[:-1]], []).append(("/".join(path[:-1]), path[-1], kind))
    return found


def _memories(places: dict[str, list[tuple[str, str, str]]], machine: _Machine) -> list[MemoryArray]:
    """Every memory that is left out, with the report's name of the block that holds it."""
    inside: dict[str, list[MemoryArray]] = {box: [] for box in machine.logic.memory_stand_ins.values()}
    for each in machine.logic.memories:
        inside[machine.logic.memory_stand_ins[each.block]].append(each)
    return [
        replace(each, block=machine.names[module])
        for module, found in places.items()
        for _, _, box in found
        for each in inside[box]
    ]


def _close_timing(
    mapped: Netlist, constraints: Constraints, tools: Tools, work: Path, progress: Callable[[str], None]
) -> tuple[TimingReport, Netlist, dict[str, float]]:
    """Timing, buffered netlist and slacks by place of the first buffer utilisation that meets the clock, or the best.

    Raises:
        SynthesisError: OpenSTA fails.
    """
    best: tuple[TimingReport, Netlist, dict[str, float]] | None = None
    for utilisation in _UTILISATIONS:
        netlist = copy.deepcopy(mapped)
        loads = insert_buffers(netlist, tools.library, tools.wire_load, BufferOptions(utilisation))
        thinned = thin(netlist, loads, tools.library)
        write_verilog(thinned, work / "timing.v")
        timing = analyse_timing(thinned, work / "timing.v", constraints, tools.pdk, tools.sta, work)
        progress(f"{mapped.top}: {timing.verdict()}")
        if best is None or timing.worst_slack_ns > best[0].worst_slack_ns:
            best = timing, netlist, _slack_by_place(thinned, tools.pdk, tools.sta, work)
        if timing.met:
            break
    assert best is not None  # there is at least one utilisation
    return best


def _stays(manifest: Manifest, module: str) -> bool:
    """Whether a module below the blocks stays one: stand-ins, and what says so and belongs to the machine."""
    if module not in manifest.modules or is_array(manifest, module):
        return True
    entry = manifest.modules[module]
    return entry.synthesis == Synthesis.KEEP and entry.block in _MACHINE_BLOCKS


def _slack_by_place(netlist: Netlist, pdk: Pdk, sta: Path, work: Path) -> dict[str, float]:
    """Least setup slack of all paths that end in a block, by its path; `` for those that end outside of blocks."""
    script = "\n".join(
        [
            f"read_liberty {pdk.liberty}",
            f"read_verilog {work / 'timing.v'}",
            f"link_design {netlist.top}",
            f"source {work / 'constraints.sdc'}",
            "foreach end [find_timing_paths -path_delay max -group_count 1000000] {",
            '  puts "FINEQ: slack [get_property $end slack] [get_property [get_property $end endpoint] full_name]"',
            "}",
        ]
    )
    slacks: dict[str, float] = {}
    for text, pin in re.findall(r"^FINEQ: slack (\S+) (\S+)$", run_sta(sta, script, work, "slacks"), re.MULTILINE):
        place = "/".join(pin.split("/")[:-2])
        slacks[place] = min(float(text), slacks.get(place, float("inf")))
    return slacks


def _rows(
    netlist: Netlist,
    library: Library,
    machine: _Machine,
    slacks: dict[str, float],
    stand_ins: dict[str, list[tuple[str, str, str]]],
) -> tuple[BlockFigures, ...]:
    """One line for every kind of module that was mapped; memories' pins count for the block that holds them."""
    paths: dict[str, list[str]] = {netlist.top: [""]}
    for path, kind in named_instances(netlist):
        if kind in netlist.modules:
            paths.setdefault(kind, []).append("/".join(path))
    rows = []
    for kind, times in netlist.multiplicity.items():
        if kind not in machine.manifest.modules or is_array(machine.manifest, kind):
            continue
        cells = [each for each in netlist.modules[kind].instances if each.kind not in netlist.modules]
        places = [*paths[kind], *(f"{path}/{box}".lstrip("/") for path, box, _ in stand_ins.get(kind, ()))]
        rows.append(
            BlockFigures(
                machine.names.get(kind, machine.manifest.modules[kind].kind),
                times,
                len(cells),
                sum(library.cell(each.kind).area for each in cells),
                min((slacks[place] for place in places if place in slacks), default=float("nan")),
            )
        )
    order = list(machine.names.values())
    return tuple(sorted(rows, key=lambda row: (row.name == GLUE, order.index(row.name) if row.name in order else -1)))
