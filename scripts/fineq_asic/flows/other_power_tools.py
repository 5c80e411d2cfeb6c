"""Power by another tool on the same activity: a current OpenSTA or OpenROAD, where one is found.

Debian's OpenSTA (2019) cannot read the activity, so a tool counts only if it knows `read_saif`.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from fineq.common.tools import ToolError, find_tool
from fineq_asic.errors import SynthesisError
from fineq_asic.layout.technology import Technology
from fineq_asic.library.pdk import Pdk
from fineq_asic.netlist.netlist import Netlist
from fineq_asic.timing.opensta import OPENROAD_VARIABLE, STA_VARIABLE, Constraints, run_sta


def find_power_tools() -> dict[str, Path]:
    """Tools by name: those of `OPENSTA_EXE`, `OPENROAD_EXE` and the PATH that can read activity."""
    found = {}
    for name, variable, program in (("OpenSTA", STA_VARIABLE, "sta"), ("OpenROAD", OPENROAD_VARIABLE, "openroad")):
        try:
            executable = find_tool(name, program, "it is left out", variable)
        except ToolError:
            continue
        if _reads_activity(executable):
            found[name] = executable
    return found


def _reads_activity(executable: Path) -> bool:
    try:
        with tempfile.TemporaryDirectory() as directory:  # tools leave a history file where they run
            script = Path(directory) / "ask.tcl"
            script.write_text('puts "saif [llength [info commands read_saif]]"\nexit\n', encoding="utf-8")
            result = subprocess.run(
                [str(executable), "-no_splash", "-exit", str(script)],
                cwd=directory,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "saif 1" in result.stdout


def power_script(netlist: Netlist, verilog: Path, saif: Path, constraints: Path, pdk: Pdk) -> str:
    """The Tcl that reports power, for OpenSTA and OpenROAD alike; OpenROAD links nothing without a technology."""
    technology = Technology(pdk)
    lefs = f"read_lef {technology.technology_lef}; read_lef {technology.cell_lef}"
    return "\n".join(
        [
            f"if {{[llength [info commands read_lef]]}} {{ {lefs} }}",
            f"read_liberty {pdk.liberty}",
            f"read_verilog {verilog.resolve()}",
            f"link_design {netlist.top}",
            f"source {constraints.resolve()}",
            f"read_saif -scope {netlist.top} {saif.resolve()}",
            "report_power -digits 6",
        ]
    )


def report_power(
    executable: Path, netlist: Netlist, verilog: Path, saif: Path, constraints: Constraints, pdk: Pdk, work: Path
) -> float:
    """Total power in W as the tool reports it.

    Raises:
        SynthesisError: the tool fails or its report has no total.
    """
    sdc = work / "power.sdc"
    sdc.write_text(constraints.sdc(), encoding="utf-8")
    output = run_sta(executable, power_script(netlist, verilog, saif, sdc, pdk), work, "power")
    return read_total(output)


def read_total(output: str) -> float:
    """Total of a `report_power` table.

    Raises:
        SynthesisError: there is none.
    """
    total = re.search(r"^Total(?:\s+[-\d.e+]+){3}\s+([-\d.e+]+)", output, re.MULTILINE)
    if total is None:
        raise SynthesisError("the power report has no total: see power.log")
    return float(total.group(1))
