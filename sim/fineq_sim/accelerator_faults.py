"""What `make mutate` plants in the blocks of the accelerator (`fineq_sim.mutation`)."""

from __future__ import annotations

from fineq_sim.faults import Fault

ACCELERATOR_FAULTS: tuple[Fault, ...] = (
    Fault(
        "burst-crosses-page",
        "burst splitter does not look at the 4 kB boundary",
        "hw/fineq_hw/burst_splitter.py",
        "limit.eq(Mux(to_page < config.max_burst_beats, to_page, config.max_burst_beats))",
        "limit.eq(config.max_burst_beats)",
        "read_dma/accelerator_8x24",
    ),
    Fault(
        "read-too-many-outstanding",
        "read engine asks for more bursts than it can remember",
        "hw/fineq_hw/read_dma.py",
        "& tickets.input.ready & ~halt",
        "& ~halt",
        "read_dma/accelerator_8x24",
    ),
    Fault(
        "read-error-burst-address",
        "read engine reports the address of the burst instead of the failing beat",
        "hw/fineq_hw/read_dma.py",
        "low.eq(ticket.address[:page_bits] + offset)",
        "low.eq(ticket.address[:page_bits])",
        "read_dma/accelerator_8x24",
    ),
    Fault(
        "write-strobes-after-stop",
        "write engine fills up stopped bursts with words that are written",
        "hw/fineq_hw/write_dma.py",
        "m.d.sync += [self.m_axi_wdata.eq(0), self.m_axi_wstrb.eq(0)]",
        "m.d.sync += self.m_axi_wdata.eq(0)",
        "write_dma/accelerator_8x24",
    ),
    Fault(
        "write-idle-too-soon",
        "write engine is idle before its last burst is answered",
        "hw/fineq_hw/write_dma.py",
        "self.idle.eq(~unanswered.output.valid & (stopped | ~splitter.busy))",
        "self.idle.eq(~lengths.output.valid & (stopped | ~splitter.busy))",
        "write_dma/accelerator_8x24",
    ),
    Fault(
        "vector-ties-up",
        "vector unit rounds ties up instead of to even",
        "hw/fineq_hw/vector_lane.py",
        "(value[0] & (sticky | integer[0]))",
        "value[0]",
        "vector_unit/accelerator_8x24",
    ),
    Fault(
        "vector-wraps-around",
        "vector unit wraps around instead of saturating",
        "hw/fineq_hw/vector_lane.py",
        "Mux(top.all() | ~top.any(), value[:RESULT_BITS], limit).as_signed()",
        "value[:RESULT_BITS].as_signed()",
        "vector_unit/accelerator_8x24",
    ),
    Fault(
        "vector-carry-between-halves",
        "vector unit loses what the lower half of a product carries into the upper one",
        "hw/fineq_hw/vector_lane.py",
        "halves.high + halves.low[half:]",
        "halves.high + halves.low[half : len(value)]",
        "vector_unit/accelerator_8x24",
    ),
    Fault(
        "weights-read-too-soon",
        "weight buffer plays a line in the cycle that writes it",
        "hw/fineq_hw/weight_buffer.py",
        "(channel < written)",
        "(channel <= written)",
        "weight_buffer/accelerator_8x24",
    ),
)
"""Faults of the engines, the vector unit and the buffers."""
