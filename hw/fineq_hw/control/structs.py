"""Structs that the parts of the control unit hand to one another; the first field is in the lowest bits."""

from __future__ import annotations

from amaranth.lib import data

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.error_codes import ERROR_CODE_BITS
from fineq_hw.interface.jobs import POINTER_BITS, TAG_BITS
from fineq_hw.interface.registers import COUNTERS
from fineq_hw.lib.machine_streams import job_layout

DETAIL_BITS = 8

fault_layout = data.StructLayout({"code": ERROR_CODE_BITS, "detail": DETAIL_BITS, "address": POINTER_BITS})
"""Why a chain ended: contents of the registers ERROR and ERROR_ADDRESS."""


def checked_job_layout(config: AcceleratorConfig) -> data.StructLayout:
    """What becomes of a descriptor: a job, or (`error` is not NONE) the reason why there is none.

    `address`, `tag`: of the descriptor, the tag of no meaning with an error; `detail`: for the register ERROR.
    """
    return data.StructLayout(
        {
            "job": job_layout(config),
            "address": POINTER_BITS,
            "tag": TAG_BITS,
            "error": ERROR_CODE_BITS,
            "detail": DETAIL_BITS,
        }
    )


def counter_events_layout(config: AcceleratorConfig) -> data.StructLayout:
    """By how much each counter grows in this cycle, except those that the registers count themselves."""
    return data.StructLayout(
        {counter.name: counter.event_bits(config) for counter in COUNTERS if counter.name not in ("cycles", "jobs")}
    )
