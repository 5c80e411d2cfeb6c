"""A flush resets: no block that it resets keeps anything that shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from amaranth.lib.wiring import Component

from fineq_formal.checkers.twins import check_twins
from fineq_formal.configurations import TINY, TINY_ARRAY
from fineq_formal.proof import PDR, Engine, Proof
from fineq_formal.setup import Setup
from fineq_hw.array.control_unit import ControlUnit
from fineq_hw.buffers.input_buffer import InputBuffer
from fineq_hw.buffers.output_buffer import OutputBuffer
from fineq_hw.buffers.parameter_buffer import ParameterBuffer
from fineq_hw.buffers.weight_buffer import WeightBuffer
from fineq_hw.control.descriptor_unit import DescriptorUnit
from fineq_hw.control.write_back import WriteBack
from fineq_hw.dma.read_dma import ReadDma
from fineq_hw.dma.write_dma import WriteDma
from fineq_hw.vector.vector_unit import VectorUnit

_SMALL = replace(TINY, max_burst_beats=2)

_BOUNDED = {"dma/read_dma": Engine("bounded", 6), "dma/write_dma": Engine("bounded", 7)}
"""What their queues hold was written since the flush, which pdr does not find out."""

_BLOCKS: dict[str, tuple[Callable[[], Component], bool]] = {
    "control/descriptor_unit": (lambda: DescriptorUnit(_SMALL), True),
    "control/write_back": (lambda: WriteBack(_SMALL), True),
    "dma/read_dma": (lambda: ReadDma(_SMALL, 2), True),
    "dma/write_dma": (lambda: WriteDma(replace(_SMALL, addresses_ahead=False)), True),
    "array/control_unit": (lambda: ControlUnit(TINY_ARRAY), True),
    # What comes out of memories was written since the flush: benches show it, not these proofs.
    "buffers/input_buffer": (lambda: InputBuffer(_SMALL), False),
    "buffers/weight_buffer": (lambda: WeightBuffer(_SMALL), False),
    "buffers/parameter_buffer": (lambda: ParameterBuffer(_SMALL), False),
    "buffers/output_buffer": (lambda: OutputBuffer(_SMALL), False),
    "vector/vector_unit": (lambda: VectorUnit(_SMALL), False),
}


_ENGINES = {
    "dma/read_dma": {f"m_axi_ar{signal}": "m_axi_arvalid" for signal in ("addr", "len")},
    "dma/write_dma": {f"m_axi_aw{signal}": "m_axi_awvalid" for signal in ("addr", "len")}
    | {f"m_axi_w{signal}": "m_axi_wvalid" for signal in ("data", "strb", "last")},
}
"""What the bus owes them outlives a flush, so it shows: their twins begin together with the bus. By block, outputs that
count only while the channel is valid."""


def _flush(setup: Setup, name: str, make: Callable[[], Component], data: bool) -> None:
    check_twins(setup, make, data, _ENGINES.get(name))


PROOFS = tuple(
    Proof(
        f"{name}/flush",
        ("After a reset of block and bus" if name in _ENGINES else "After a reset")
        + " from whatever state, handshakes"
        + (" and data" if data else "")
        + " depend on inputs since then alone",
        lambda setup, name=name, make=make, data=data: _flush(setup, name, make, data),  # type: ignore[misc]
        _BOUNDED.get(name, PDR),
        short=name == "control/write_back",
    )
    for name, (make, data) in _BLOCKS.items()
)
