"""From a design to its netlist: Verilog, mapping, buffers, timing closure; kept under a hash of all that goes in."""

from __future__ import annotations

import copy
import hashlib
import importlib.metadata
import os
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fineq_hw import ppa
from fineq_hw.ppa.buffers import BufferOptions, insert_buffers
from fineq_hw.ppa.designs import Design
from fineq_hw.ppa.errors import SynthesisError
from fineq_hw.ppa.liberty import Library, WireLoad, read_liberty
from fineq_hw.ppa.mapping import map_design
from fineq_hw.ppa.netlist import Netlist, write_verilog
from fineq_hw.ppa.pdk import Pdk, find_pdk
from fineq_hw.ppa.timing import WIRE_LOAD, Constraints, TimingReport, analyse_timing, find_sta, sta_version, thin
from fineq_hw.verilog import write_verilog as write_rtl

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
    """

    design: Design
    netlist: Netlist
    timing: TimingReport
    port_loads: dict[tuple[str, int], float]
    effort: str

    def first_row(self, library: Library) -> Netlist:
        """Column drivers and control at full size with one row; other rows are there as loads only."""
        return thin(self.netlist, self.port_loads, library, keep_last=False)


def map_and_close(
    design: Design, tools: Tools, constraints: Constraints, work: Path, progress: Progress, cache: Path | None = None
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
    kept = cache / f"{design.top}-{_fingerprint(design, files, tools, constraints)}.pickle" if cache else None
    if kept is not None and kept.is_file():
        mapped = pickle.loads(kept.read_bytes())
        steps.done(f"netlist from {kept.parent.name}")
    else:
        mapped = _close_timing(design, files, tools, constraints, work, steps)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_suffix(f".{os.getpid()}")
            part.write_bytes(pickle.dumps(mapped))
            os.replace(part, kept)
    write_verilog(mapped.netlist, work / "netlist.v")
    return mapped


_DECIDING = ("buffers", "designs", "liberty", "mapping", "netlist", "timing")
"""Modules of `fineq_hw.ppa` that decide what a netlist looks like."""


def _fingerprint(design: Design, files: Sequence[Path], tools: Tools, constraints: Constraints) -> str:
    directory = Path(ppa.__file__).parent
    sources = [*(directory / f"{name}.py" for name in _DECIDING), Path(__file__), *files]
    parts = [repr(design), repr(constraints), repr(sorted(tools.versions().items()))]
    digest = hashlib.sha256("\0".join(parts).encode())
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:24]


def _close_timing(
    design: Design, files: Sequence[Path], tools: Tools, constraints: Constraints, work: Path, steps: Steps
) -> Mapped:
    best: Mapped | None = None
    mapped: dict[str, Netlist] = {}
    for effort, utilisation in LADDER:
        if effort not in mapped:
            options = design.mapping(constraints.clock_ns, effort)
            mapped = {effort: map_design(files, design.top, options, tools.pdk, tools.library, work)}
            steps.done(f"mapped for {effort}")
        netlist = copy.deepcopy(mapped[effort])
        port_loads = insert_buffers(netlist, tools.library, tools.wire_load, BufferOptions(utilisation))
        thinned = thin(netlist, port_loads, tools.library)
        write_verilog(thinned, work / "timing.v")
        timing = analyse_timing(thinned, work / "timing.v", constraints, tools.pdk, tools.sta, work)
        steps.done(timing.verdict())
        if best is None or timing.worst_slack_ns > best.timing.worst_slack_ns:
            best = Mapped(design, netlist, timing, port_loads, effort)
        if timing.met:
            break
    if best is None:
        raise SynthesisError("the ladder of mapping efforts is empty")
    return best
