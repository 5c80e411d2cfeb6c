"""The self-test of a board: a small packed layer, recorded as a script."""

from __future__ import annotations

import numpy as np

import fineq.format as block_format
from fineq_hw.config import AcceleratorConfig, ArrayConfig
from fineq_hw.link.script import ScriptStep
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.functional import FunctionalTransport
from fineq_sim.link.recording import RecordedCore, RecordingPort
from fineq_sim.link.transports import LinkTransport

CHANNELS = 6
"""Of the layer: few, since every step lies in the FPGA's memory."""

MEMORY_BYTES = 1 << 14
"""That the script uses at most."""


def selftest_script(config: ArrayConfig | AcceleratorConfig, seed: int = 0) -> list[ScriptStep]:
    """Steps that load a packed layer, run it and compare every sum.

    Args:
        config: of the core or of the accelerator on the board.
        seed: of the weights and activations.
    """
    array = config.array if isinstance(config, AcceleratorConfig) else config
    generator = np.random.default_rng(seed)
    inner = 2 * array.columns
    codes = generator.integers(-1, 2, (CHANNELS, inner)).astype(np.int8)
    codes[:, ::3] = 0
    codes[:, 1::6] *= 3
    codes = block_format.unpack(block_format.pack(codes), inner)
    activations = generator.integers(-128, 128, (array.rows, inner)).astype(np.int8)
    if isinstance(config, AcceleratorConfig):
        port = RecordingPort(FunctionalTransport(config, memory_size=MEMORY_BYTES))
        machine = Accelerator(LinkTransport(port, config))  # type: ignore[arg-type]
        steps = port.steps
    else:
        transport = RecordedCore(config)
        machine, steps = Accelerator(transport), transport.port.steps
    result = machine.run(machine.load_integers(codes, 1.0), activations)
    assert (result.values == activations.astype(int) @ codes.astype(int).T).all()
    return steps
