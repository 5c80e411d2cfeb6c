"""One test of driver and machine for every transport: the same checks on the functional model and on the RTL.

Each function of `CHECKS` takes a fresh `Accelerator`, works with it and asserts. What a machine must do is taken
from numpy, from `fineq_sim.reference.vector_unit` and from the functional model, never from the machine itself.
"""

from fineq_sim.driver.conformance import recovery, refusals, results
from fineq_sim.driver.conformance.registry import Check

CHECKS: dict[str, Check] = {**results.CHECKS, **refusals.CHECKS, **recovery.CHECKS}
"""Every check by name."""

__all__ = ["CHECKS"]
