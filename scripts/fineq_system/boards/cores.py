"""Cores by themselves on the FPGAs of the boards: what they take and how fast they are."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fineq.common.cache_keys import cache_key
from fineq.common.files import write_text
from fineq.common.tools import ToolError
from fineq.format.temporal import ENCODINGS
from fineq_hw.array.core import TemporalCore
from fineq_hw.baseline.mac_core import MacCore
from fineq_hw.config import ArrayConfig, MacConfig
from fineq_hw.export.conversion import convert
from fineq_system.boards.frame import ScanFrame
from fineq_system.boards.tools import Utilisation, failure, read_report, tool_environment


@dataclass(frozen=True)
class Target:
    """An FPGA to measure on.

    Attributes:
        text: what it is.
        family: of the tools.
        rows, columns: of the cores.
        synthesis: pass of Yosys, its options with multipliers in DSPs and without.
        placement: arguments of nextpnr.
        clock: MHz that nextpnr is asked for.
        dsps: it has enough of them for a MAC array of this size.
    """

    text: str
    family: str
    rows: int
    columns: int
    synthesis: tuple[str, str, str]
    placement: tuple[str, ...]
    clock: int
    dsps: bool


TARGETS: Mapping[str, Target] = {
    "ulx3s-85f": Target(
        "ECP5 85F, speed grade 6",
        "ecp5",
        8,
        8,
        ("synth_ecp5", "", "-nodsp"),
        ("--85k", "--package", "CABGA381", "--speed", "6", "--lpf-allow-unconstrained"),
        100,
        True,
    ),
    "icebreaker": Target(
        "iCE40 UP5K", "ice40", 4, 8, ("synth_ice40", "-dsp", ""), ("--up5k", "--package", "sg48"), 24, False
    ),
}
"""FPGAs by the board that has them. The eight DSPs of the UP5K are fewer than the MACs of the smallest array here."""


@dataclass(frozen=True)
class CoreCase:
    """A core to measure.

    Attributes:
        name: of the row of the table.
        config: of the core.
        dsp: multipliers may go into DSPs.
    """

    name: str
    config: ArrayConfig | MacConfig
    dsp: bool = False


def cases(target: Target) -> Iterator[CoreCase]:
    """Every encoding, and the MAC arrays with and without DSPs; flip-flops and behavioural sums throughout."""
    size: dict[str, Any] = {"rows": target.rows, "columns": target.columns}
    for encoding in ENCODINGS:
        config = ArrayConfig(**size, encoding=encoding, sign_handling="column", adder_tree="behavioural")
        yield CoreCase(encoding, config)
    for bits in (3, 8):
        mac = MacConfig(**size, weight_bits=bits, accumulator_bits=24 if bits == 3 else 32)
        yield CoreCase(f"MAC 8x{bits}, LUTs", mac)
        if target.dsps:
            yield CoreCase(f"MAC 8x{bits}, DSPs", mac, dsp=True)


def measure(case: CoreCase, target: Target, work: Path) -> Utilisation | None:
    """Synthesise, place and route a core in its frame; the frame's cells are taken off.

    What was measured before in the same directory, of the same Verilog with the same options, is taken from there.

    Args:
        case: the core.
        target: the FPGA.
        work: directory for what the tools write.

    Returns:
        None: it does not fit.

    Raises:
        ToolError: a program is missing or fails.
    """
    environment = tool_environment(target.family, work)
    core = MacCore(case.config) if isinstance(case.config, MacConfig) else TemporalCore(case.config)
    frame = ScanFrame(core)
    texts, _ = convert({"frame": frame})
    for name, text in texts.items():
        write_text(work / f"{name}.v", text)
    command, with_dsp, without = target.synthesis
    reads = "; ".join(f"read_verilog {name}.v" for name in sorted(texts))
    script = f"{reads}; {command} {with_dsp if case.dsp else without} -top frame -json frame.json"
    kept = work / "measured.json"
    key = cache_key(inputs=[texts, script, target])
    if kept.is_file() and (known := json.loads(kept.read_text(encoding="utf-8")))["key"] == key:
        return Utilisation(**known["found"]) if known["found"] else None
    nextpnr = environment["NEXTPNR_ECP5" if target.family == "ecp5" else "NEXTPNR_ICE40"]
    steps = [
        [environment["YOSYS"], "-q", "-p", script],
        [nextpnr, *target.placement, "--json", "frame.json", "--report", "report.json", "--seed", "1"]
        + ["--freq", str(target.clock), "--timing-allow-fail", "--quiet", "--log", "frame.tim"],
    ]
    for step in steps:
        result = subprocess.run(step, cwd=work, env=os.environ, capture_output=True, text=True)
        if result.returncode:
            reason = failure(result.stdout + result.stderr)
            if reason == "too large":
                write_text(kept, json.dumps({"key": key, "found": None}) + "\n")
                return None
            raise ToolError(f"{case.name} of {target.rows} x {target.columns} on {target.text}: {reason}")
    found = read_report(target.family, work / "report.json")
    less = {"luts": found.luts - frame.luts, "flops": found.flops - frame.flops}
    found = Utilisation(**found.as_dict() | less)  # type: ignore[arg-type]
    write_text(kept, json.dumps({"key": key, "found": found.as_dict()}) + "\n")
    return found
