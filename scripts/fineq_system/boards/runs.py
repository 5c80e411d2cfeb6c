"""What `fineq board run` and `selftest` do on a board that is connected."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

import fineq.format as block_format
from fineq.common.errors import CheckFailed
from fineq_hw.interface.link import LinkRegister
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.link.port import LinkPort

_TRIES, _PAUSE = 50, 0.1
"""How often, and after how many seconds, a self-test that runs is looked at."""


@dataclass(frozen=True)
class RunOutcome:
    """What a layer on a board came to: results right, all of them, seconds, requests that were sent again."""

    right: int
    total: int
    seconds: float
    repeats: int


def run_layer(machine: Accelerator, channels: int, inner: int, tokens: int, seed: int) -> RunOutcome:
    """A packed layer of random weights on a board, every sum compared."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(-1, 2, (channels, inner)).astype(np.int8)
    codes[:, ::3] = 0
    codes[:, 1::6] *= 3
    codes = block_format.unpack(block_format.pack(codes), inner)
    activations = generator.integers(-128, 128, (tokens, inner)).astype(np.int8)
    begun = time.monotonic()
    result = machine.run(machine.load_integers(codes, 1.0), activations)
    expected = activations.astype(int) @ codes.astype(int).T
    port: LinkPort = machine.transport.port  # type: ignore[attr-defined]
    right = int((result.values == expected).sum())
    return RunOutcome(right, expected.size, time.monotonic() - begun, port.repeats)


def check_selftest(port: LinkPort) -> None:
    """Wait for the verdict of the self-test that the bitstream carries.

    Raises:
        CheckFailed: it failed, there is none, or it does not end.
    """
    for _ in range(_TRIES):
        state = port.link_register(LinkRegister.SELFTEST)
        if state == 1:
            return
        if state == 2:
            raise CheckFailed("the self-test of the board failed: a sum is not that of the golden vectors")
        time.sleep(_PAUSE)
    raise CheckFailed("the bitstream has no self-test, or it does not end: build it with `fineq board build`")
