"""What the benchmark says of the machine it runs on."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import numpy as np
import torch

from fineq import kernels
from fineq.kernels.build import find_compiler


def describe_machine() -> dict[str, str]:
    """Processor, number of its cores that may be used, and versions."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        compiler = find_compiler()
        version = subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    except (kernels.KernelError, OSError, IndexError):
        version = "none"
    return {
        "processor": processor,
        "cores": str(cores),
        "busy processes at the start": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "not known",
        "compiler": version,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
