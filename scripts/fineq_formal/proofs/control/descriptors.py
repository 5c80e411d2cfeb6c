"""Descriptor unit: refuses exactly what `check_descriptor` refuses, for the same reason, and passes on the rest."""

from __future__ import annotations

from dataclasses import replace

from amaranth.hdl import Array, Module, Signal, Value

from fineq_formal.configurations import TINY
from fineq_formal.proof import Engine, Proof
from fineq_formal.proofs.control.descriptor_rules import Quotients, content_code, field, region_code, reserved_word
from fineq_formal.setup import Setup, implies
from fineq_hw.config import ALIGNMENT
from fineq_hw.control.descriptor_unit import DescriptorUnit
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES
from fineq_hw.interface.error_codes import MISALIGNED, OUTSIDE, OVERLAPPED, REGIONS, ErrorCode
from fineq_hw.interface.jobs import SIZE_BITS

_CONFIG = replace(TINY, bus_bits=128)
_WORDS = DESCRIPTOR_BYTES // _CONFIG.bus_bytes
_LAST_CONTENT = max(code for code in ErrorCode if code < MISALIGNED)
_SIZE_BITS = 2
"""Of the sizes and quotients where regions are proven."""

_FIRST_REGION_CYCLE, _REGION_CYCLES = 26, 5
"""When the first region has been checked, and how long each takes at most: to work its bytes out, and to compare."""


def _chain(setup: Setup, prompt: bool) -> tuple[DescriptorUnit, Signal, Signal, Signal]:
    """A chain whose first descriptor is any; returns the unit, the descriptor, its address, and that it is the first.

    Args:
        setup: gets all of it.
        prompt: memory and whoever takes the job lose no cycle.
    """
    m = setup.m
    dut = setup.add(
        "dut", DescriptorUnit(_CONFIG), driven=("start", "address", "memory_base", "memory_limit", "words__payload")
    )
    descriptor = setup.fixed("descriptor", 8 * DESCRIPTOR_BYTES)
    address = setup.fixed("address", 64)
    base, limit = setup.fixed("base", _CONFIG.address_bits), setup.fixed("limit", _CONFIG.address_bits)
    started = Signal()
    number = Signal(range(_WORDS))
    first = Signal(init=1)
    words = Array(descriptor.word_select(index, _CONFIG.bus_bits) for index in range(_WORDS))
    m.d.sync += started.eq(1)
    m.d.comb += [
        dut.start.eq(~started),
        dut.address.eq(address),
        dut.memory_base.eq(base),
        dut.memory_limit.eq(limit),
        dut.words.payload.data.eq(words[number]),
        dut.words.payload.last.eq(number == _WORDS - 1),
    ]
    with m.If(dut.words.valid & dut.words.ready):
        m.d.sync += number.eq(number + 1)
    with m.If(dut.jobs.valid & dut.jobs.ready):
        m.d.sync += first.eq(0)
    if prompt:
        setup.assume(dut.words.valid & dut.commands.ready & dut.jobs.ready)
    return dut, descriptor, address, first


def _address_legal(dut: DescriptorUnit, address: Signal) -> Value:
    inside = (dut.memory_base <= address) & (address + DESCRIPTOR_BYTES - 1 <= dut.memory_limit)
    return (address % ALIGNMENT == 0) & inside


def _contents(setup: Setup) -> None:
    dut, descriptor, address, first = _chain(setup, prompt=False)
    code = content_code(setup.m, descriptor, _CONFIG)
    broken, detail = reserved_word(setup.m, descriptor)
    region = REGIONS.index("descriptor")
    offered, found = dut.jobs.valid & first, dut.jobs.payload
    legal = _address_legal(dut, address)
    setup.check(
        implies(offered & (address % ALIGNMENT != 0), found.error == MISALIGNED + region),
        "a misaligned address is refused",
    )
    outside = (address % ALIGNMENT == 0) & ~legal
    setup.check(implies(offered & outside, found.error == OUTSIDE + region), "an address outside is refused")
    setup.check(implies(dut.commands.valid & first, legal), "nothing is fetched from an illegal address")
    setup.check(
        implies(offered & legal & (code != 0), found.error == code), "the first rule that is broken is the reason"
    )
    content = (found.error != ErrorCode.NONE) & (found.error <= _LAST_CONTENT)
    setup.check(implies(offered & legal & (code == 0), ~content), "legal contents are not refused")
    setup.check(implies(offered & legal & broken, found.detail == detail), "reserved bits: the word is named")
    setup.check(implies(offered & ~(legal & broken), found.detail == 0), "detail is zero else")
    setup.check(implies(offered, found.address == address), "the address goes with it")


class _Quotients:
    """In the place of `TileCounts`: any quotients, known at once. That the divider is right is proven apart.

    Attributes:
        values: what they are.
        inner_tiles, line_groups, token_tiles: as wide as the unit takes them.
    """

    def __init__(self, setup: Setup) -> None:
        self.values = Quotients(*(setup.fixed(name, _SIZE_BITS) for name in Quotients._fields))
        self.inner_tiles, self.line_groups, self.token_tiles = (Signal(SIZE_BITS, name=n) for n in Quotients._fields)
        for name, value in self.values._asdict().items():
            setup.assume(value != 0)
            setup.m.d.comb += getattr(self, name).eq(value)

    def known(self, quotients: int) -> int:
        return 1

    def drive(self, m: Module, start: Value, inner: Value, tokens: Value) -> None:
        pass


def _regions(setup: Setup, region: str) -> None:
    """Of descriptors in which the regions before this one are legal; the last region: and so is what is offered."""
    dut, descriptor, address, first = _chain(setup, prompt=True)
    m = setup.m
    counts = _Quotients(setup)
    dut._counts = counts  # type: ignore[assignment]
    setup.assume(content_code(m, descriptor, _CONFIG) == 0)
    setup.assume(_address_legal(dut, address))
    for name in REGIONS:
        if name != "descriptor":
            setup.assume(field(descriptor, name) < 1 << (_CONFIG.address_bits + 2))
    for name in ("tokens", "channels"):
        setup.assume(field(descriptor, name) < 1 << _SIZE_BITS)
    for name in ("activation_stride", "destination_stride"):
        setup.assume(field(descriptor, name) < 64)
    window = dut.memory_base, dut.memory_limit
    code = region_code(m, descriptor, address, _CONFIG, *window, _SIZE_BITS, counts.values)
    for before in range(REGIONS.index(region)):
        setup.assume((code != MISALIGNED + before) & (code != OUTSIDE + before) & (code != OVERLAPPED + before))
    offered, found = dut.jobs.valid & first, dut.jobs.payload
    setup.check(implies(offered, found.error == code), "refused for the first region that breaks a rule, or not at all")
    for name in (
        "tokens",
        "channels",
        "activations",
        "weights",
        "destination",
        "destination_stride",
        "activation_stride",
    ):
        wanted = field(descriptor, name)[: len(found.job[name])]
        setup.check(
            implies(offered & (code == 0), found.job[name] == wanted), f"{name} of the job is that of the descriptor"
        )


PROOFS = (
    Proof(
        "control/descriptor_unit/contents",
        "A descriptor whose address or contents break a rule of `check_descriptor` is refused with the code of the "
        "first, and no other: all descriptors, addresses and windows",
        _contents,
        Engine("bounded", 18),
    ),
    *(
        Proof(
            f"control/descriptor_unit/{region}",
            f"The region {region}, where those before it are legal: refused as by `check_descriptor`, for alignment, "
            f"window and overlap{', or offered as it stands' * (region == REGIONS[-1])}: tokens, "
            f"channels and quotients below {1 << _SIZE_BITS}, strides below 64, all windows",
            lambda setup, region=region: _regions(setup, region),  # type: ignore[misc]
            Engine("bounded", _FIRST_REGION_CYCLE + _REGION_CYCLES * number),
        )
        for number, region in enumerate(REGIONS)
    ),
)
