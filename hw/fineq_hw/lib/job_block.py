"""What the blocks of the accelerator that walk a job on their own share: how they are told, and when they are done."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.lib import stream
from amaranth.lib.wiring import In, Member, Out

from fineq_hw.config import AcceleratorConfig
from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.machine_streams import job_layout, read_word_layout, transfer_layout


class JobBlock(VerilogComponent):
    """A block that works on a job.

    Ports:
        start: one cycle: begin with `job`; only while `busy` is low.
        job: held still while any block works on it.
        busy: something of the job is left to do; each block says what.

    Args:
        config: the accelerator.
        ports: what the block has besides.
    """

    def __init__(self, config: AcceleratorConfig, ports: Mapping[str, Member]) -> None:
        self.config = config
        super().__init__({"start": In(1), "job": In(job_layout(config)), "busy": Out(1), **ports})


def fetch_ports(config: AcceleratorConfig) -> dict[str, Member]:
    """Streams of a client of the read engine: `commands` ask for pieces of memory, `words` deliver them."""
    return {
        "commands": Out(stream.Signature(transfer_layout(config))),
        "words": In(stream.Signature(read_word_layout(config))),
    }
