"""The bus between link, self-test and machine: one access of 32 bits at a time."""

from __future__ import annotations

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

word_bus = wiring.Signature(
    {
        "valid": Out(1),
        "write": Out(1),
        "address": Out(32),
        "data": Out(32),
        "ready": In(1),
        "answer": In(32),
        "error": In(1),
    }
)
"""An access stays until `ready`, which is high for one cycle, with the answer and whether it failed."""
