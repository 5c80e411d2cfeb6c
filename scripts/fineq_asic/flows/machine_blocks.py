"""The logic of a whole accelerator around its array, mapped to the cells: area and timing block by block.

The blocks stay modules, so paths from block to block are analysed as well. Large memories and the array itself are
not mapped: a stand-in with a register behind every input and before every output takes the place of each. The
outputs of a memory's stand-in come `MEMORY_ACCESS_NS` after the clock edge and its inputs have to be there
`MEMORY_SETUP_NS` before the next one, which stands for a compiled memory; the array has registers there itself.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import Library, read_liberty
from fineq_asic.library.pdk import Pdk, find_pdk
from fineq_asic.mapping.yosys import MappingOptions, map_design, run_yosys
from fineq_asic.netlist.fanout import BufferOptions, insert_buffers
from fineq_asic.netlist.netlist import Netlist
from fineq_asic.netlist.verilog import write_verilog
from fineq_asic.timing.opensta import WIRE_LOAD, Constraints, TimingReport, analyse_timing, find_sta, run_sta, thin
from fineq_hw.accelerator import make_accelerator
from fineq_hw.array.processing_array import ProcessingArray
from fineq_hw.baseline.mac_array import MacArray
from fineq_hw.config import ACCELERATORS
from fineq_hw.export.conversion import convert
from fineq_hw.export.manifest import Manifest
from fineq_hw.lib.role import MachineBlock, Synthesis

MEMORY_ACCESS_NS = 1.0
MEMORY_SETUP_NS = 0.2
"""Assumed of memory macros of up to 100 kbit in 45 nm; no macro was compiled."""

MACRO_WORDS = 16
"""Memories with fewer words (queues) and those that are never written (tables) are logic."""

STAND_IN = "stand_in"
EFFORT = "speed"
"""Mapping effort; with less, the comparisons of 40-bit addresses ripple and miss 400 MHz."""

_UTILISATIONS = (0.5, 0.3)
"""Buffer utilisation, tried in this order until the clock is met."""

GLUE = MachineBlock.TOP_LEVEL.value
_MACHINE_BLOCKS = tuple(block.value for block in MachineBlock)


@dataclass(frozen=True)
class MemoryArray:
    """A memory that is not mapped: where it is, and its size."""

    block: str
    name: str
    words: int
    bits: int


@dataclass(frozen=True)
class Block:
    """One kind of block.

    Attributes:
        name: instance in the accelerator.
        instances: how many there are.
        cells, area: of one, without memories and without blocks that have a line of their own; um^2.
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
    blocks: tuple[Block, ...]
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


def stand_in(name: str, ports: list[tuple[str, str, int]]) -> str:
    """Verilog of a module with a register behind every input and before every output, all of them needed.

    Args:
        name: of the module.
        ports: direction, name and width.
    """
    ports = [(direction, port if port == "clk" else f"\\{port} ", width) for direction, port, width in ports]
    inputs = [
        (port, width) for direction, port, width in ports if direction == "input" and port not in ("clk", "\\rst ")
    ]
    outputs = [(port, width) for direction, port, width in ports if direction == "output"]
    into, out = (max(1, sum(width for _, width in group)) for group in (inputs, outputs))
    # A ring of registers that all inputs turn: none is a copy of another.
    sources = [f"read[{(bit + 1) % out}]" for bit in range(out)]
    for bit in range(into):
        sources[bit % out] += f" ^ held[{bit}]"
    body = [f"    read[{bit}] <= {source};" for bit, source in enumerate(sources)]
    names = ", ".join(port for _, port, _ in ports)
    return "\n".join(
        [
            f"module {name}({names});",
            *(f"  {direction} [{width - 1}:0] {port};" for direction, port, width in ports),
            f"  reg [{into - 1}:0] held;",
            f"  reg [{out - 1}:0] read;",
            "  always @(posedge clk) begin",
            f"    held <= {{{', '.join(port for port, _ in inputs)}}};",
            *body,
            "  end",
            f"  assign {{{', '.join(port for port, _ in outputs)}}} = read;",
            "endmodule",
            "",
        ]
    )


def _without_memories(module: str, text: str, work: Path) -> tuple[str, str, list[tuple[str, int, int]]]:
    """Move the large memories of a module into a stand-in.

    Returns:
        Verilog of the module, of the stand-in, and name, words and width of each memory. Without large memories
        the text stays as it is.
    """
    declared = re.findall(r"^  reg \[(\d+):0\] (\S+)\s+\[(\d+):0\];", text, re.MULTILINE)
    if not any(int(depth) + 1 >= MACRO_WORDS for _, _, depth in declared):
        return text, "", []
    source, moved, listing = (work / f"{module}.{end}" for end in ("source.v", "moved.v", "json"))
    source.write_text(text, encoding="utf-8")
    name = f"{STAND_IN}_{module}"
    run_yosys(
        [
            f"read_verilog {source}",
            "proc",
            "opt_clean",
            "memory -nomap",
            "opt_clean",
            f"select -set macros t:$mem_v2 r:SIZE>={MACRO_WORDS} %i r:WR_PORTS>0 %i",
            f"submod -name {name} @macros",
            "opt_clean",
            f"write_json {listing}",
            f"select {module}",
            f"write_verilog -noattr -selected {moved}",
        ],
        work,
    )
    modules = json.loads(listing.read_text(encoding="utf-8"))["modules"]
    if name not in modules:
        return text, "", []
    cells = [cell["parameters"] for cell in modules[name]["cells"].values() if cell["type"] == "$mem_v2"]
    memories = [
        (re.sub(r"\$\d+$", "", cell["MEMID"].lstrip("\\")), int(cell["SIZE"], 2), int(cell["WIDTH"], 2))
        for cell in cells
    ]
    ports = [(port["direction"], key.lstrip("\\"), len(port["bits"])) for key, port in modules[name]["ports"].items()]
    moved_text = moved.read_text(encoding="utf-8")
    return moved_text[moved_text.index("module ") :], stand_in(name, ports), sorted(memories)


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
    pdk, sta = find_pdk(), find_sta()
    work.mkdir(parents=True, exist_ok=True)
    work = work.resolve()
    texts, manifest = convert({accelerator: make_accelerator(ACCELERATORS[accelerator])})
    blocks = manifest.entry(accelerator).children
    if block is not None and block not in blocks:
        raise SynthesisError(f"{accelerator} has no block {block!r}: choose one of {', '.join(sorted(blocks))}")
    top = accelerator if block is None else blocks[block]
    used, memories = _with_stand_ins(texts, manifest, top, work)
    files = []
    for name, text in used.items():
        files.append(work / f"{name}.v")
        files[-1].write_text(text, encoding="utf-8")
    bits = sum(each.words * each.bits for each in memories)
    progress(f"{top}: {len(files)} modules; {bits:,} bits of memory are left out")
    kept = (*blocks.values(), *(name for name in used if _stays(manifest, name)))
    names = {kind: name for name, kind in blocks.items()}
    memories = [replace(each, block=names[each.block]) for each in memories]
    macros = sorted({f"{names[kind]}/{STAND_IN}_{kind}" for kind in used if f"{STAND_IN}_{kind}" in used})
    if block is not None:
        macros = [path.split("/")[1] for path in macros]
    constraints = _MacroConstraints(clock_ns, macros=tuple(macros))
    library = read_liberty(pdk.liberty)
    mapped = map_design(files, top, MappingOptions(clock_ns, kept, effort=EFFORT), pdk, library, work)
    progress(f"{top}: mapped for {EFFORT}")
    best: tuple[TimingReport, Netlist] | None = None
    slacks: dict[str, float] = {}
    for utilisation in _UTILISATIONS:
        netlist = copy.deepcopy(mapped)
        loads = insert_buffers(netlist, library, library.wire_loads[WIRE_LOAD], BufferOptions(utilisation))
        thinned = thin(netlist, loads, library)
        write_verilog(thinned, work / "timing.v")
        timing = analyse_timing(thinned, work / "timing.v", constraints, pdk, sta, work)
        progress(f"{top}: {timing.verdict()}")
        if best is None or timing.worst_slack_ns > best[0].worst_slack_ns:
            best = timing, netlist
            slacks = _slack_by_place(thinned, pdk, sta, work)
        if timing.met:
            break
    assert best is not None  # there is at least one utilisation
    timing, netlist = best
    rows = _rows(netlist, library, manifest, slacks, {top: GLUE if block is None else block} | names)
    return BlocksReport(accelerator, block, clock_ns, timing, rows, tuple(memories))


def _is_array(manifest: Manifest, module: str) -> bool:
    return module in manifest.modules and manifest.modules[module].kind in (ProcessingArray.KIND, MacArray.KIND)


def _stays(manifest: Manifest, module: str) -> bool:
    """Whether a module below the blocks stays one: stand-ins, and what says so and belongs to the machine."""
    if module not in manifest.modules or _is_array(manifest, module):
        return True
    entry = manifest.modules[module]
    return entry.synthesis == Synthesis.KEEP and entry.block in _MACHINE_BLOCKS


def _with_stand_ins(
    texts: dict[str, str], manifest: Manifest, top: str, work: Path
) -> tuple[dict[str, str], list[MemoryArray]]:
    """Verilog by module of `top` and everything under it but memories and array."""
    used: dict[str, str] = {}
    memories: list[MemoryArray] = []
    waiting = [top]
    while waiting:
        name = waiting.pop(0)
        if name in used:
            continue
        entry = manifest.entry(name)
        if _is_array(manifest, name):
            used[name] = stand_in(name, [(port.direction, port.name, port.bits) for port in entry.ports])
            continue
        text, macro, found = _without_memories(name, texts[name], work)
        used[name] = text
        if macro:
            used[f"{STAND_IN}_{name}"] = macro
        memories += [MemoryArray(name, *each) for each in found]
        waiting += entry.children.values()
    return used, memories


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
    netlist: Netlist, library: Library, manifest: Manifest, slacks: dict[str, float], names: dict[str, str]
) -> tuple[Block, ...]:
    """One line for every kind of module that was mapped; memories' pins count for the block that holds them."""
    paths = _paths(netlist)
    rows = []
    for kind, times in netlist.multiplicity.items():
        if kind not in manifest.modules or _is_array(manifest, kind):
            continue
        cells = [each for each in netlist.modules[kind].instances if each.kind not in netlist.modules]
        ends = [slack for path in paths[kind] for place, slack in slacks.items() if _ends_in(place, path)]
        rows.append(
            Block(
                names.get(kind, manifest.modules[kind].kind),
                times,
                len(cells),
                sum(library.cell(each.kind).area for each in cells),
                min(ends, default=float("nan")),
            )
        )
    order = list(names.values())
    return tuple(sorted(rows, key=lambda row: (row.name == GLUE, order.index(row.name) if row.name in order else -1)))


def _ends_in(place: str, path: str) -> bool:
    head, _, last = place.rpartition("/")
    return place == path or (head == path and last.startswith(STAND_IN))


def _paths(netlist: Netlist) -> dict[str, list[str]]:
    """Paths of all instances of every module."""
    paths: dict[str, list[str]] = {netlist.top: [""]}
    for kind in reversed(netlist.bottom_up):
        for each in netlist.modules[kind].instances:
            if each.kind in netlist.modules:
                paths.setdefault(each.kind, []).extend(
                    f"{above}/{each.name}" if above else each.name for above in paths[kind]
                )
    return paths
