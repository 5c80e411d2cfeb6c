"""Control unit: random handshakes, every output compared with a plain model in every cycle."""

from __future__ import annotations

from dataclasses import dataclass

import cocotb
import numpy as np

from fineq.format import MAGNITUDE_BITS, MAX_MAGNITUDE
from fineq.format.temporal import MAX_CYCLES, array_cycles
from fineq_hw.config import ArrayConfig
from fineq_sim.bench.bench import Bench
from fineq_sim.bench.testbench import settle
from fineq_sim.reference.bits import pack
from fineq_sim.reference.weights import partial_step


@dataclass
class Vector:
    """A weight vector that is being worked off."""

    cycles: int
    accumulate: bool
    last: bool
    done: int = 0


class Model:
    """What the control unit must do, cycle by cycle."""

    def __init__(self, config: ArrayConfig):
        self.config = config
        self.row: int | None = 0  # next row to preload; None while computing
        self.vector: Vector | None = None
        self.result: bool | None = None  # `last` of the result on offer

    def outputs(self, inputs: dict[str, int], magnitudes: list[int]) -> dict[str, int]:
        vector = self.vector
        blocked = self.result is not None and not inputs["results_ready"]
        # The second plane doubles the sum so far, so a partial sum has to wait for the last step.
        taking = vector is not None and vector.done == partial_step(self.config.encoding, vector.cycles)
        wants_partial = vector is not None and taking and vector.accumulate
        computing = vector is not None and not blocked and not (wants_partial and not inputs["partials_valid"])
        finishing = vector is not None and computing and vector.done == vector.cycles - 1
        accepts = self.row is None and (vector is None or (finishing and not vector.last))
        expected = {
            "activations_ready": int(self.row is not None),
            "weights_ready": int(accepts),
            "partials_ready": int(wants_partial and not blocked),
            "results_valid": int(self.result is not None),
            "load": (1 << self.row) if self.row is not None and inputs["activations_valid"] else 0,
            "load_weights": int(accepts and inputs["weights_valid"]),
            "computing": int(computing),
        }
        if self.result is not None:
            expected["results_last"] = int(self.result)
        if vector is not None and computing:
            expected |= {
                "hold": int(vector.done > 0),
                "take_partial": int(wants_partial),
            }
        if expected["load_weights"]:
            expected["single_step"] = int(self.cycles(inputs, magnitudes) == 1)
        return expected

    def cycles(self, inputs: dict[str, int], magnitudes: list[int]) -> int:
        return int(array_cycles(np.array([magnitudes]), self.config.encoding, bool(inputs["early_termination"]))[0])

    def clock(self, inputs: dict[str, int], outputs: dict[str, int], magnitudes: list[int]) -> None:
        if inputs["results_ready"]:
            self.result = None
        if self.vector is not None and outputs["computing"]:
            self.vector.done += 1
            if self.vector.done == self.vector.cycles:
                self.result = self.vector.last
                if self.vector.last:
                    self.row = 0
                self.vector = None
        if outputs["load_weights"]:
            cycles = self.cycles(inputs, magnitudes)
            self.vector = Vector(cycles, bool(inputs["weights_accumulate"]), bool(inputs["weights_last"]))
        if self.row is not None and outputs["load"]:
            ends = inputs["activations_last"] or self.row == self.config.rows - 1
            self.row = None if ends else self.row + 1


@cocotb.test()
@cocotb.parametrize(busy=[0.2, 0.5, 0.95])
async def follows_the_model(dut, busy):
    """`busy`: how often the other side of each handshake is there."""
    tb: Bench[ArrayConfig] = Bench(dut, salt=f"control {busy}")
    config, source = tb.config, tb.source
    likely = {
        "activations_valid": busy,
        "activations_last": 0.1,
        "weights_valid": busy,
        "weights_accumulate": 0.5,
        "weights_last": 0.1,
        "partials_valid": busy,
        "results_ready": busy,
        "early_termination": 0.7,
    }
    tb.drive(**dict.fromkeys((*likely, "magnitudes"), 0))
    await tb.begin()
    model = Model(config)
    seen: set[int] = set()
    for cycle in range(3000):
        inputs = {name: int(source.random() < share) for name, share in likely.items()}
        largest = source.randint(0, MAX_MAGNITUDE)
        magnitudes = [source.randint(0, largest) for _ in range(config.columns)]
        tb.drive(**inputs, magnitudes=pack(magnitudes, MAGNITUDE_BITS))
        await settle()
        expected = model.outputs(inputs, magnitudes)
        for name, value in expected.items():
            got = tb.read(name)
            assert got == value, f"cycle {cycle}: {name} is {got}, expected {value} (inputs {inputs})"
        model.clock(inputs, expected, magnitudes)
        if model.vector is not None:
            seen.add(model.vector.cycles)
        await tb.clock()
    assert seen == set(range(1, MAX_CYCLES[config.encoding] + 1)), f"only vectors of {seen} cycles were tried"
