"""A run recorded as a script for the self-test of a board (`fineq_hw.link.script`): vectors go in and must come out.

The link's place is taken by a model that answers from the functional model; what the driver writes is written by the
script, what it reads must come out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fineq_hw.config import ArrayConfig
from fineq_hw.interface.link import PUSH, REGISTERS_BASE, CoreStream
from fineq_hw.interface.registers import REGISTERS
from fineq_hw.link.script import ScriptStep, Step
from fineq_sim.driver.functional import FunctionalTransport
from fineq_sim.link.transports import CoreTransport


class RecordingPort:
    """Takes the place of a `LinkPort` in front of a `LinkTransport`; what it answers is a functional model's.

    Args:
        model: of the machine.

    Attributes:
        steps: recorded so far.
    """

    repeats = 0

    def __init__(self, model: FunctionalTransport) -> None:
        self.model = model
        self.steps: list[ScriptStep] = []

    def identify(self, kind: object, expected: int) -> int:
        """The memory of the model."""
        return self.model.memory_size

    def write(self, address: int, words: Sequence[int]) -> None:
        """Recorded, and done on the model."""
        for number, word in enumerate(words):
            place = address + 4 * number
            self.steps.append(ScriptStep(Step.WRITE, place, int(word)))
            if place >= REGISTERS_BASE:
                self.model.write_register(place - REGISTERS_BASE, int(word))
            else:
                self.model.write_memory(place, np.array([word], "<u4").view(np.uint8))

    def read(self, address: int, count: int) -> list[int]:
        """What the model says must come out; STATUS is awaited, counters, which have time in them, are left out."""
        words = []
        for place in range(address, address + 4 * count, 4):
            if place < REGISTERS_BASE:
                word = int(self.model.read_memory(place, 4).view("<u4")[0])
                self.steps.append(ScriptStep(Step.CHECK, place, word))
            else:
                offset = place - REGISTERS_BASE
                word = self.model.read_register(offset) or 0
                if offset < REGISTERS["COUNTER_CYCLES"].offset:
                    step = Step.AWAIT if offset == REGISTERS["STATUS"].offset else Step.CHECK
                    self.steps.append(ScriptStep(step, place, word))
            words.append(word)
        return words

    def link_register(self, register: object) -> int:
        """The interrupt, in which the model does its work."""
        return int(self.model.wait(1 << 20))

    def reset(self) -> None:
        """Nothing to reset."""

    def close(self) -> None:
        """Nothing to let go."""


class CoreRecordingPort:
    """Takes the place of a `LinkPort` in front of a `CoreTransport`: knows what a core answers to each line.

    Attributes:
        steps: recorded so far.
        expected: answers that are still to come, packed results; whoever knows the sums appends them.
    """

    repeats = 0

    def __init__(self) -> None:
        self.steps: list[ScriptStep] = []
        self.expected: list[int] = []
        self._present = 0

    def identify(self, kind: object, expected: int) -> int:
        """A core has no memory."""
        return 0

    def write(self, address: int, words: Sequence[int]) -> None:
        """Recorded."""
        for number, word in enumerate(words):
            self.steps.append(ScriptStep(Step.WRITE, address + 4 * number, int(word)))

    def read(self, address: int, count: int) -> list[int]:
        """A result taken, or words of it."""
        if address == CoreStream.RESULTS + PUSH:
            self._present = self.expected.pop(0)
            self.steps.append(ScriptStep(Step.CHECK, address, 1))
            return [1]
        words = [self._present >> (32 * place) & 0xFFFFFFFF for place in range(count)]
        for place, word in enumerate(words):
            self.steps.append(ScriptStep(Step.CHECK, address + 4 * place, word))
        return words

    def close(self) -> None:
        """Nothing to let go."""


class RecordedCore(CoreTransport):
    """A core whose answers are known beforehand; the script is in `port.steps`."""

    port: CoreRecordingPort  # type: ignore[assignment]

    def __init__(self, array: ArrayConfig) -> None:
        super().__init__(CoreRecordingPort(), array)  # type: ignore[arg-type]

    def sums(self, activations: np.ndarray, weights: np.ndarray, early_termination: bool) -> np.ndarray:
        """As of the core. Rows without a token hold what was there before, so there must be none.

        Raises:
            ValueError: the tokens do not fill the rows.
        """
        array = self.array
        if len(activations) % array.rows:
            raise ValueError(f"{len(activations)} tokens do not fill {array.rows} rows: a script needs whole tiles")
        width = array.accumulator_bits
        exact = activations.astype(np.int64), weights.astype(np.int64)
        for first in range(0, len(activations), array.rows):
            for end in range(array.columns, weights.shape[1] + 1, array.columns):
                sums = exact[0][first : first + array.rows, :end] @ exact[1][:, :end].T
                for channel in range(len(weights)):
                    values = (int(value) & ((1 << width) - 1) for value in sums[:, channel])
                    number = sum(value << (width * row) for row, value in enumerate(values))
                    last = channel == len(weights) - 1
                    self.port.expected.append(number | last << (width * array.rows))
        return super().sums(activations, weights, early_termination)
