"""From a design to its netlist: Verilog, mapping, buffers, timing closure; kept under a hash of all that goes in."""

from __future__ import annotations

import copy
import importlib.metadata
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.files import write_bytes
from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import Library, WireLoad, read_liberty
from fineq_asic.library.pdk import Pdk, find_pdk
from fineq_asic.mapping.designs import CoreDesign
from fineq_asic.mapping.yosys import map_design
from fineq_asic.netlist.fanout import BufferOptions, insert_buffers
from fineq_asic.netlist.netlist import Netlist
from fineq_asic.netlist.verilog import write_verilog
from fineq_asic.timing.opensta import (
    WIRE_LOAD,
    Constraints,
    TimingReport,
    analyse_timing,
    find_sta,
    sta_version,
    thin,
)
from fineq_hw.export.manifest import MANIFEST, Manifest, ModuleEntry, read_manifest
from fineq_hw.export.verilog import write_verilog as write_rtl

Progress = Callable[[str], None]

LADDER = (("area", 0.5), ("area", 0.3), ("balanced", 0.5), ("speed", 0.5), ("speed", 0.3))
"""Mapping effort and buffer utilisation, tried in this order until the clock is met."""


class Steps:
    """Progress lines with the time that each step took."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.name, self.progress, self.start = name, progress, time.monotonic()

    def done(self, step: str) -> None:
        now = time.monotonic()
        self.progress(f"{self.name}: {step} ({now - self.start:.1f} s)")
        self.start = now


@dataclass(frozen=True)
class Tools:
    """Library and programs of the flow."""

    pdk: Pdk
    library: Library
    sta: Path

    @property
    def wire_load(self) -> WireLoad:
        return self.library.wire_loads[WIRE_LOAD]

    def versions(self) -> dict[str, str]:
        """What a report says of them."""
        return {
            "library": f"{self.library.name} from {self.pdk.origin}",
            "library sha256": self.pdk.liberty_sha256(),
            "pyosys": importlib.metadata.version("pyosys"),
            "amaranth": importlib.metadata.version("amaranth"),
            "OpenSTA": sta_version(self.sta),
        }


def find_tools() -> Tools:
    """Locate library and OpenSTA.

    Raises:
        SynthesisError: one of them is missing.
    """
    pdk, sta = find_pdk(), find_sta()
    return Tools(pdk, read_liberty(pdk.liberty), sta)


@dataclass(frozen=True)
class Mapped:
    """A design as a netlist that was timed.

    Attributes:
        design: what.
        netlist: mapped and buffered.
        timing: of the netlist.
        port_loads: load of every module input (`buffers.insert_buffers`).
        effort: mapping effort that was needed.
        manifest: what the modules of its Verilog are.
    """

    design: CoreDesign
    netlist: Netlist
    timing: TimingReport
    port_loads: dict[tuple[str, int], float]
    effort: str
    manifest: Manifest

    def entry(self, module: str) -> ModuleEntry:
        """What a module of the netlist is.

        Raises:
            SynthesisError: the manifest does not know it.
        """
        if module not in self.manifest.modules:
            raise SynthesisError(f"the manifest of {self.design.top} does not know module {module}")
        return self.manifest.modules[module]

    def first_row(self, library: Library) -> Netlist:
        """Column drivers and control at full size with one row; other rows are there as loads only."""
        return thin(self.netlist, self.port_loads, library, keep_last=False)


def map_and_close(
    design: CoreDesign,
    tools: Tools,
    constraints: Constraints,
    work: Path,
    progress: Progress,
    cache: Path | None = None,
) -> Mapped:
    """The smallest netlist on `LADDER` that meets the clock, or the fastest if none does.

    Args:
        design: what.
        tools: library and OpenSTA.
        constraints: clock and environment.
        work: directory for the netlist, the logs and everything else that the tools write; created.
        progress: called with a line after each step.
        cache: directory that keeps netlists by the hash of everything they depend on; None: always map.

    Raises:
        SynthesisError: a step fails; a clock that is not met is no failure but part of the result.
    """
    steps = Steps(design.top, progress)
    work.mkdir(parents=True, exist_ok=True)
    files = write_rtl(work / "rtl", [design.top])[design.top]
    manifest = read_manifest(work / "rtl")
    kept = (
        cache / f"{design.top}-{_key(design, [*files, work / 'rtl' / MANIFEST], tools, constraints)}.pickle"
        if cache
        else None
    )
    if kept is not None and kept.is_file():
        mapped = pickle.loads(kept.read_bytes())
        steps.done(f"netlist from {kept.parent.name}")
    else:
        mapped = _close_timing(design, files, manifest, tools, constraints, work, steps)
        if kept is not None:
            write_bytes(kept, pickle.dumps(mapped))
    write_verilog(mapped.netlist, work / "netlist.v")
    return mapped


def _key(design: CoreDesign, files: Sequence[Path], tools: Tools, constraints: Constraints) -> str:
    return cache_key(__name__, inputs=[design, constraints, sorted(tools.versions().items())], files=files)


def _close_timing(
    design: CoreDesign,
    files: Sequence[Path],
    manifest: Manifest,
    tools: Tools,
    constraints: Constraints,
    work: Path,
    steps: Steps,
) -> Mapped:
    best: Mapped | None = None
    mapped: dict[str, Netlist] = {}
    for effort, utilisation in LADDER:
        if effort not in mapped:
            options = design.mapping(manifest, constraints.clock_ns, effort)
            mapped = {effort: map_design(files, design.top, options, tools.pdk, tools.library, work)}
            steps.done(f"mapped for {effort}")
        netlist = copy.deepcopy(mapped[effort])
        port_loads = insert_buffers(netlist, tools.library, tools.wire_load, BufferOptions(utilisation))
        thinned = thin(netlist, port_loads, tools.library)
        write_verilog(thinned, work / "timing.v")
        timing = analyse_timing(thinned, work / "timing.v", constraints, tools.pdk, tools.sta, work)
        steps.done(timing.verdict())
        if best is None or timing.worst_slack_ns > best.timing.worst_slack_ns:
            best = Mapped(design, netlist, timing, port_loads, effort, manifest)
        if timing.met:
            break
    if best is None:
        raise SynthesisError("the ladder of mapping efforts is empty")
    return best
