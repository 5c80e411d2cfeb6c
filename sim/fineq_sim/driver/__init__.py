"""The accelerator's driver: one API, three transports (docs/hardware/driver.md).

`FunctionalTransport` computes in numpy, `VerilatedTransport` is the RTL as a process of its own,
`CocotbTransport` (fineq_sim.driver.cocotb) is the RTL inside a cocotb test.
"""

from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.exceptions import AcceleratorError, AcceleratorTimeout, OutOfMemoryError
from fineq_sim.driver.functional import FunctionalTransport
from fineq_sim.driver.jobs import Counters, Job, Linear, Result
from fineq_sim.driver.verilated import VerilatedTransport

__all__ = [
    "Accelerator",
    "AcceleratorError",
    "AcceleratorTimeout",
    "Counters",
    "FunctionalTransport",
    "Job",
    "Linear",
    "OutOfMemoryError",
    "Result",
    "VerilatedTransport",
]
