"""A machine on a board through its pins: packed layers bit for bit, damaged, cut and stalled frames, the self-test."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.task import bridge
from cocotb.triggers import ClockCycles

import fineq.format as block_format
from fineq_hw.config import AcceleratorConfig, ArrayConfig
from fineq_hw.interface.link import (
    LINK_BASE,
    MAX_WORDS,
    PUSH,
    REGISTERS_BASE,
    CoreStream,
    Kind,
    LinkRegister,
    Operation,
    Status,
    request,
)
from fineq_hw.interface.registers import REGISTERS
from fineq_sim.bench.serial_pins import SerialPins
from fineq_sim.bench.testbench import parameters, random_source, reset, start_clock
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.exceptions import AcceleratorError
from fineq_sim.link.port import LinkError, LinkPort
from fineq_sim.link.transports import CoreTransport, LinkTransport
from fineq_sim.reference.payloads import find_config


class Board:
    """A design behind `rx` and `tx`, ready to be used."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.settings = parameters()
        self.config = find_config(self.settings["config"])
        self.pins = SerialPins(dut, self.settings["divisor"])
        self.port = LinkPort(self.pins)

    @classmethod
    async def begun(cls, dut) -> Board:
        dut.rx.value = 1
        start_clock(dut)
        await reset(dut)
        board = cls(dut)
        if board.settings["selftest"]:
            while int(dut.running.value):
                await ClockCycles(dut.clk, 100)
        return board

    def machine(self) -> Accelerator:
        """The driver on it."""
        if isinstance(self.config, AcceleratorConfig):
            return Accelerator(LinkTransport(self.port, self.config))
        assert isinstance(self.config, ArrayConfig)
        return Accelerator(CoreTransport(self.port, self.config, memory_size=1 << 16))

    def check_layer(self, channels: int, inner: int, tokens: int) -> None:
        """A packed layer comes out right."""
        generator = np.random.default_rng(random_source("layer").randrange(1 << 30))
        codes = generator.integers(-1, 2, (channels, inner)).astype(np.int8)
        codes[:, ::3] = 0
        codes[:, 1::6] *= 3  # outliers, where the format has room for them
        activations = generator.integers(-128, 128, (tokens, inner)).astype(np.int8)
        codes = block_format.unpack(block_format.pack(codes), inner)
        machine = self.machine()
        layer = machine.load_integers(codes, 1.0)
        result = machine.run(layer, activations)
        expected = activations.astype(int) @ codes.astype(int).T
        assert (result.values == expected).all(), "wrong sums"

    def bad_frames(self) -> int:
        return self.port.link_register(LinkRegister.BAD_FRAMES)


@cocotb.test()
async def a_packed_layer(dut):
    board = await Board.begun(dut)
    await bridge(lambda: board.check_layer(5, 30, 6))()
    assert board.port.repeats == 0
    if board.settings["selftest"]:
        assert int(dut.passed.value) and not int(dut.failed.value)


@cocotb.test()
async def damaged_frames(dut):
    """Every seventh frame has a bit wrong, every 97th byte of the answers is lost or wrong: the results are right."""
    board = await Board.begun(dut)
    source, count = random_source("damage"), {"sent": 0, "received": 0}

    def damage(content: bytes) -> bytes:
        count["sent"] += 1
        if count["sent"] % 7:
            return content
        place, bit = source.randrange(len(content)), source.randrange(8)
        return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]

    def damage_received(byte: int) -> int | None:
        count["received"] += 1
        return byte if count["received"] % 97 else source.choice([None, byte ^ 0x10])

    def use() -> None:
        board.pins.damage, board.pins.damage_received = damage, damage_received
        board.check_layer(3, 16, 5)
        board.pins.damage, board.pins.damage_received = (lambda content: content), (lambda byte: byte)
        assert board.bad_frames() > 0

    await bridge(use)()
    assert board.port.repeats > 3


@cocotb.test()
async def cut_and_stalled_frames(dut):
    """A frame that ends too early, or pauses too long, is forgotten; so is what stands before a frame."""
    board = await Board.begun(dut)

    def use() -> None:
        identity = board.port.read(LINK_BASE, 3)
        before = board.bad_frames()
        cut = [request(Operation.READ, 99, LINK_BASE, 1)[:size] for size in (1, 2, 7, 9)]
        cut += [request(Operation.WRITE, 99, LINK_BASE, [1, 2])[:size] for size in (8, 11, 14, 17)]
        for content in cut:
            board.pins.send(content)
            assert not board.pins.receive(1), "a frame that was cut is answered"
        assert board.bad_frames() == before + len(cut)
        assert board.port.repeats == 0, "the frame after one that was cut is lost"
        board.pins.pause = 64
        try:
            board.port.read(LINK_BASE, 1)
            raise AssertionError("a frame that pauses is answered")
        except LinkError as error:
            assert "no answer came over the link" in str(error)
        board.pins.pause = 16
        assert board.port.read(LINK_BASE, 3) == identity
        board.pins.pause = 0
        board.pins.damage = lambda content: b"\x00\x13\xff" + content
        assert board.port.read(LINK_BASE, 3) == identity

    await bridge(use)()


@cocotb.test()
async def a_write_is_done_once(dut):
    """The answer is lost, the write comes again with the same number: it is answered as before, and not done again."""
    board = await Board.begun(dut)

    def status(sequence: int, address: int, word: int) -> int:
        board.pins.send(request(Operation.WRITE, sequence, address, [word]))
        return board.pins.receive(6)[1]

    def use_accelerator() -> None:
        watchdog = REGISTERS_BASE + REGISTERS["WATCHDOG"].offset
        assert status(200, watchdog, 11) == Status.OK
        assert status(200, watchdog, 77) == Status.OK
        assert board.port.read(watchdog, 1) == [11], "the second was done"
        board.port.write(watchdog, [77])
        assert board.port.read(watchdog, 1) == [77]

    def use_core() -> None:
        """A core holds one set of partial sums: a second one is not taken."""
        push = CoreStream.PARTIALS + PUSH
        assert status(200, push, 1) == Status.OK
        assert status(200, push, 1) == Status.OK, "the second was done"
        assert status(201, push, 1) == Status.BUS_ERROR

    await bridge(use_accelerator if isinstance(board.config, AcceleratorConfig) else use_core)()


@cocotb.test()
async def what_is_not_there(dut):
    """Addresses without anything, too many words, and a bitstream of another configuration."""
    board = await Board.begun(dut)

    def use() -> None:
        for access in (lambda: board.port.read(LINK_BASE + 0x80, 1), lambda: board.port.write(LINK_BASE, [1])):
            try:
                access()
                raise AssertionError("an access that cannot be is answered well")
            except AcceleratorError as error:
                assert "says that address 0xc00000" in str(error)
        board.pins.send(request(Operation.READ, 7, LINK_BASE, MAX_WORDS + 1))
        assert board.pins.receive(6)[1] == Status.BAD_REQUEST
        try:
            board.port.identify(Kind.ACCELERATOR, 12345)
            raise AssertionError("another configuration is taken for the right one")
        except AcceleratorError as error:
            assert "made from another configuration" in str(error)

    await bridge(use)()
