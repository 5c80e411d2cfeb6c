"""What a host needs (registers, descriptors, configurations, the driver and its models) does not load Amaranth."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import fineq_hw.config
import fineq_hw.interface
import fineq_sim.reference


def modules_of(package) -> list[str]:
    """The package and all modules in it."""
    return [package.__name__, *(each.name for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."))]


HOST_MODULES = [
    *modules_of(fineq_hw.interface),
    *modules_of(fineq_hw.config),
    "fineq_hw.latencies",
    "fineq_hw.vector.activation_functions",
    *(f"fineq_sim.driver.{name}" for name in ("accelerator", "functional", "jobs", "registers", "memory", "transport")),
    *modules_of(fineq_sim.reference),
]


@pytest.mark.parametrize("packages", [["fineq_hw"], ["fineq_hw", "fineq_sim"]], ids=["hw", "hw and sim"])
def test_a_host_needs_no_amaranth(packages):
    modules = [module for module in HOST_MODULES if module.partition(".")[0] in packages]
    program = (
        f"import importlib, sys\nfor name in {modules!r}:\n    importlib.import_module(name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & {'amaranth', 'torch'}))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (finished.returncode, finished.stdout.split()) == (0, []), finished.stderr
