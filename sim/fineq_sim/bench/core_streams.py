"""What the benches of whole cores share: the streams of a core and their payloads."""

from __future__ import annotations

from typing import Any

from fineq_hw.config import ArrayConfig, MacConfig
from fineq_sim.bench.bench import Bench, Config
from fineq_sim.reference.payloads import Payloads


class CoreStreams(Bench[Config]):
    """A core.

    Attributes:
        core: which, from the settings: temporal, packed or mac.
        packed: weights go in as packed lines.
        payloads: of its streams.
        activations, weights, partials, results: its streams.
    """

    def __init__(self, dut: Any, stall: float = 0.0, salt: str = "") -> None:
        super().__init__(dut, stall, salt)
        assert isinstance(self.config, ArrayConfig | MacConfig)
        self.core = str(self.settings["core"])
        self.packed = self.core == "packed"
        self.payloads = Payloads(self.config)
        self.activations = self.producer("activations")
        self.weights = self.producer("lines" if self.packed else "weights")
        self.partials = self.producer("partials")
        self.results = self.consumer("results")
