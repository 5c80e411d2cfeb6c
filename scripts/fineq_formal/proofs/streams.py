"""Streams out of every block: what is offered stays until it is taken, if the streams into it do the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from amaranth.hdl import Cat, Signal, Value
from amaranth.lib.wiring import Component

from fineq_formal.checkers.streams import check_streams, stable
from fineq_formal.configurations import TINY, TINY_ARRAY
from fineq_formal.proof import Proof
from fineq_formal.setup import Setup, implies
from fineq_hw.array.core import TemporalCore
from fineq_hw.baseline.mac_core import MacCore
from fineq_hw.buffers.input_buffer import InputBuffer
from fineq_hw.config import MACS
from fineq_hw.control.csr import ControlStatusRegisters
from fineq_hw.control.descriptor_unit import DescriptorUnit
from fineq_hw.vector.vector_unit import VectorUnit

_SMALL = replace(TINY, max_burst_beats=2)
_MAC = min(MACS.values(), key=lambda config: config.rows * config.columns)

_BLOCKS: dict[str, Callable[[], Component]] = {
    "control/descriptor_unit": lambda: DescriptorUnit(_SMALL),
    "array/core": lambda: TemporalCore(TINY_ARRAY),
    "baseline/mac_core": lambda: MacCore(_MAC),
    "buffers/input_buffer": lambda: InputBuffer(_SMALL),
    "vector/vector_unit": lambda: VectorUnit(_SMALL),
}


def _block(setup: Setup, make: Callable[[], Component]) -> None:
    """A job stays as long as a block works on it, and blocks are started when they are idle."""
    component = make()
    dut = setup.add("dut", component, driven=("job",) if "job" in component.signature.members else ())
    if "job" in component.signature.members:
        setup.m.d.comb += dut.job.eq(setup.fixed("job", len(Value.cast(dut.job))))
    if {"start", "busy"} <= set(component.signature.members):
        setup.assume(implies(dut.start, ~dut.busy))
    if {"commands", "words"} <= set(component.signature.members):
        # The read engine ends every command with its last word, and sends nothing that was not asked for.
        commands, words = dut.commands, dut.words
        asked, ended = commands.valid & commands.ready, words.valid & words.ready & words.payload.last
        waiting = Signal(8)
        setup.m.d.sync += waiting.eq(waiting + asked - ended)
        setup.assume(implies(words.valid, waiting != 0))
    check_streams(setup, dut)


def _registers(setup: Setup) -> None:
    """Responses of the AXI4-Lite slave."""
    dut = setup.add("dut", ControlStatusRegisters(_SMALL))
    for channel, fields in {
        "aw": (dut.s_axil_awaddr, dut.s_axil_awprot),
        "w": (dut.s_axil_wdata, dut.s_axil_wstrb),
        "ar": (dut.s_axil_araddr, dut.s_axil_arprot),
    }.items():
        valid, ready = (getattr(dut, f"s_axil_{channel}{name}") for name in ("valid", "ready"))
        setup.assume(stable(setup, valid, ready, Cat(fields), channel))
    read = Cat(dut.s_axil_rdata, Value.cast(dut.s_axil_rresp))
    write = Value.cast(dut.s_axil_bresp)
    setup.check(stable(setup, dut.s_axil_rvalid, dut.s_axil_rready, read, "r"), "R: a response stays until it is taken")
    setup.check(
        stable(setup, dut.s_axil_bvalid, dut.s_axil_bready, write, "b"), "B: a response stays until it is taken"
    )


PROOFS = (
    *(
        Proof(
            f"{name}/streams",
            "What is offered on any stream out of the block stays as it is until it is taken",
            lambda setup, make=make: _block(setup, make),  # type: ignore[misc]
        )
        for name, make in _BLOCKS.items()
    ),
    Proof("control/csr/responses", "Responses of the registers stay until they are taken", _registers),
)
