"""How long the descriptor unit takes to check a descriptor, once its words are there."""

from __future__ import annotations

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.descriptors import line_groups
from fineq_hw.interface.error_codes import REGIONS
from fineq_hw.interface.jobs import SIZE_BITS, OutputFormat
from fineq_sim.perf.constants import quotients_needed
from fineq_sim.perf.jobs import TwinJob

_STEPS = 3
"""Cycles of a region beside multiplying: operands, last byte, check."""


def check_cycles(config: AcceleratorConfig, job: TwinJob, last: bool) -> int:
    """Cycles from the last word to the offer of the job.

    Args:
        config: the machine.
        job: what the descriptor says.
        last: it ends its chain.
    """
    left_out = {"channel_parameters", "token_parameters"} if job.output_format is OutputFormat.SUMS else set()
    left_out |= {"next"} if last else set()
    factors = {
        "destination": job.tokens - 1,
        "activations": job.tokens - 1,
        "weights": line_groups(job.inner, config),
    }
    needed = quotients_needed(config)
    cycle = 1  # contents
    for region in REGIONS:
        if region not in left_out:
            cycle = max(cycle, 1 + SIZE_BITS * needed[region])
            cycle += _STEPS + max(1, factors.get(region, 0).bit_length())
    return cycle + 2  # the word before, the offer
