"""SCALE-Sim 3 as a program of its own: the simulator of systolic arrays that architects know, for the time it takes.

It needs an older numpy than this project, so it lives in an environment of its own, whose Python is named:

    python -m venv DIR && DIR/bin/pip install scalesim==3.0.0 numpy==1.26.4
"""

from __future__ import annotations

import csv
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fineq.common.errors import FineqError

INSTALL = "python -m venv DIR && DIR/bin/pip install scalesim==3.0.0 numpy==1.26.4"

_SETTINGS = """[general]
run_name = run
[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {columns}
IfmapSramSzkB = 256
FilterSramSzkB = 256
OfmapSramSzkB = 256
IfmapOffset = 0
FilterOffset = 100000000
OfmapOffset = 200000000
Bandwidth = 16
Dataflow = is
MemoryBanks = 1
ReadRequestBuffer = 64
WriteRequestBuffer = 64
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
SparseRep = ellpack_block
OptimizedMapping = false
BlockSize = 8
RandomNumberGeneratorSeed = 40
[run_presets]
InterfaceBandwidth = USER
UseRamulatorTrace = False
"""
"""An input-stationary array, as this project's is, on a bus of 16 words per cycle."""


@dataclass(frozen=True)
class ScaleSim:
    """SCALE-Sim in its environment.

    Attributes:
        python: interpreter of the environment.
        rows, columns: of the array.
    """

    python: Path
    rows: int = 64
    columns: int = 64

    def check(self) -> None:
        """Raise if it cannot be started.

        Raises:
            FineqError: there is no such interpreter, or it has no SCALE-Sim.
        """
        try:
            found = subprocess.run([self.python, "-c", "import scalesim"], capture_output=True, text=True)
        except OSError as error:
            raise FineqError(f"{self.python} cannot be started: give --scale-sim the Python of `{INSTALL}`") from error
        if found.returncode:
            raise FineqError(f"{self.python} has no SCALE-Sim: give --scale-sim the Python of `{INSTALL}`")

    def cycles(self, tokens: int, channels: int, inner: int) -> int:
        """Cycles that it gives a product M, N, K, prefetch included.

        Raises:
            FineqError: it failed.
        """
        with tempfile.TemporaryDirectory() as directory:
            work = Path(directory)
            (work / "array.cfg").write_text(_SETTINGS.format(rows=self.rows, columns=self.columns), encoding="utf-8")
            (work / "gemm.csv").write_text(f"Layer,M,N,K,\ngemm,{tokens},{channels},{inner},\n", encoding="utf-8")
            command = [str(self.python), "-m", "scalesim.scale", "-c", "array.cfg", "-t", "gemm.csv", "-l", "gemm.csv"]
            run = subprocess.run([*command, "-i", "gemm", "-p", "."], cwd=work, capture_output=True, text=True)
            report = work / "run" / "COMPUTE_REPORT.csv"
            if run.returncode or not report.is_file():
                last = (run.stderr.strip().splitlines() or ["no message"])[-1]
                raise FineqError(f"SCALE-Sim failed on {tokens} x {channels} x {inner}: {last}")
            with report.open(encoding="utf-8", newline="") as file:
                (row,) = csv.DictReader(file, skipinitialspace=True)
            return int(float(row["Total Cycles (incl. prefetch)"]))
