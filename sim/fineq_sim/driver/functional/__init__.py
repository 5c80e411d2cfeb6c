"""The accelerator without time: memory, counters, registers and jobs in numpy."""

from fineq_sim.driver.functional.counters import TIMELESS
from fineq_sim.driver.functional.transport import FunctionalTransport

__all__ = ["TIMELESS", "FunctionalTransport"]
