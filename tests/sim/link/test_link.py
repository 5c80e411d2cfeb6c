"""The link without a board: frames, repeats, finding the beginning again, and what cannot be, in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.driver.link_model import CONFIG, ModelLine

import fineq.format as block_format
from fineq_hw.config import ACCELERATORS, ArrayConfig
from fineq_hw.interface.link import (
    ANSWER,
    LINK_BASE,
    SYNC,
    Kind,
    checksum,
    fingerprint,
    request,
)
from fineq_hw.link.script import ScriptStep, Step
from fineq_sim.driver import Accelerator, AcceleratorError
from fineq_sim.link.port import ATTEMPTS, LinkError, LinkPort
from fineq_sim.link.selftest import selftest_script
from fineq_sim.link.transports import LinkTransport


def test_the_checksum_is_the_known_one():
    assert checksum(b"123456789") == 0x29B1


def run_layer(line: ModelLine) -> LinkPort:
    port = LinkPort(line)
    machine = Accelerator(LinkTransport(port, CONFIG))
    generator = np.random.default_rng(0)
    codes = block_format.unpack(block_format.pack(generator.integers(-1, 2, (9, 40)).astype(np.int8)), 40)
    activations = generator.integers(-128, 128, (7, 40)).astype(np.int8)
    result = machine.run(machine.load_integers(codes, 1.0), activations)
    assert (result.values == activations.astype(int) @ codes.astype(int).T).all()
    return port


def test_a_layer_over_a_good_line():
    assert run_layer(ModelLine()).repeats == 0


def test_a_layer_over_a_line_that_damages_every_fifth_frame():
    line = ModelLine()
    line.damage = lambda content: content[:-1] + bytes([content[-1] ^ 1]) if line.sent % 5 == 0 else content
    assert run_layer(line).repeats > 5


def test_bytes_before_an_answer_are_skipped():
    line = ModelLine()
    # Among them beginnings of answers that are none: a wrong sequence number, an impossible length, a wrong checksum.
    line.garbage = bytes([0, ANSWER, 0, 250, 1, ANSWER, 0, 1, 200, ANSWER, ANSWER])
    assert run_layer(line).repeats == 0


def test_a_silent_line_is_one_sentence():
    line = ModelLine()
    line.damage = lambda content: b""
    with pytest.raises(LinkError, match="no answer came over the link, 4 times"):
        LinkPort(line).read(LINK_BASE, 1)
    assert line.sent == ATTEMPTS


def test_other_versions_and_configurations_are_refused():
    with pytest.raises(AcceleratorError, match=r"speaks version 2 of the link, this program version 1"):
        LinkTransport(LinkPort(ModelLine(version=2)), CONFIG)
    with pytest.raises(AcceleratorError, match="made from another configuration"):
        LinkTransport(LinkPort(ModelLine()), ACCELERATORS["accelerator_16x16"])
    with pytest.raises(AcceleratorError, match="made from another configuration"):
        LinkPort(ModelLine()).identify(Kind.CORE, fingerprint(CONFIG))


def test_memory_of_odd_sizes_and_places():
    transport = LinkTransport(LinkPort(ModelLine()), CONFIG)
    transport.write_memory(96, np.arange(100, 200, dtype=np.uint8))
    transport.write_memory(101, np.array([1, 2, 3, 4, 5, 6], dtype=np.uint8))
    expected = np.arange(100, 200, dtype=np.uint8)
    expected[5:11] = [1, 2, 3, 4, 5, 6]
    assert (transport.read_memory(96, 100) == expected).all()
    assert (transport.read_memory(99, 7) == expected[3:10]).all()


def test_a_frame_is_what_the_page_says():
    frame = request(2, 5, 0x80000064, [77])
    assert frame[:8] == bytes([SYNC, 2, 5, 1, 0x64, 0, 0, 0x80]) and frame[8:12] == bytes([77, 0, 0, 0])
    assert int.from_bytes(frame[12:], "little") == checksum(frame[1:12])


@pytest.mark.parametrize("config", [CONFIG, ArrayConfig(rows=3, columns=8, sign_handling="column")])
def test_a_script_writes_and_checks(config):
    steps = selftest_script(config)
    checks = [step for step in steps if step.step is not Step.WRITE]
    assert len(steps) > 100 and len(checks) > 40
    assert steps == selftest_script(config) != selftest_script(config, seed=1)


def test_a_step_fits_its_word():
    step = ScriptStep(Step.AWAIT, 0xC0000018, 0xFFFFFFFF).encoded()
    assert step == 2 << 62 | 0xC0000018 >> 2 << 32 | 0xFFFFFFFF
