"""What a study has found, layer by layer, and its sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fineq_sim.energy.model import Energy
from fineq_sim.study.architecture import Architecture
from fineq_sim.study.engines import Check
from fineq_sim.study.steps import Bound, StepSource
from fineq_sim.workloads.work import Pass, Workload

LINEAR, ATTENTION, HEAD = "linear", "attention", "head"
KINDS = (LINEAR, ATTENTION, HEAD)

STREAMS = ("weights", "activations", "parameters", "results", "cache")
"""What moves over the bus; `parameters`: scales, biases and descriptors; `cache`: keys and values."""

_START = 0.5
"""A layer in which no part is busy for this share of the time is bound by its start and by latencies."""


@dataclass(frozen=True)
class LayerOutcome:
    """One line of a study: layers that are alike.

    Attributes:
        name, kind: of the layer; one of `KINDS`.
        shape: M, N, K; of attention queries, keys and the size of a head.
        count: how often it runs.
        macs: multiply-accumulates of all runs.
        engine: that timed it: exact or tile; unit: the closed form of the attention unit; host: not timed.
        cycles: of one run; None: not counted.
        error: of `cycles` at most, as a share; None: not known.
        counters: of one run, by name; those that need no time, or all.
        streams: bytes of one run by `STREAMS`.
        energy: of all runs, None: not worked out.
        parts: jobs of one run.
    """

    name: str
    kind: str
    shape: tuple[int, int, int]
    count: int
    macs: int
    engine: str
    cycles: float | None
    error: float | None
    counters: Mapping[str, int]
    streams: Mapping[str, float]
    energy: Energy | None
    parts: int = 1

    @property
    def all_cycles(self) -> float:
        """Of all runs."""
        return (self.cycles or 0.0) * self.count

    @property
    def on_array(self) -> bool:
        return "multiply_busy" in self.counters

    @property
    def moved_bytes(self) -> float:
        """Of one run."""
        return sum(self.streams.values())

    def share(self, counter: str) -> float | None:
        """Of the cycles in which a counter counts; None: not on the array."""
        return self.counters[counter] / self.cycles if self.cycles and counter in self.counters else None

    @property
    def steps_per_vector(self) -> float | None:
        vectors = self.counters.get("weight_vectors")
        return self.counters["multiply_busy"] / vectors if vectors else None

    def rows_used(self, rows: int) -> float:
        """Share of the array's rows that hold a token, over the token tiles of one run."""
        return self.shape[0] / (-(-self.shape[0] // rows) * rows)

    @property
    def limit(self) -> str:
        """What it is bound by: compute, memory, drain or start; unit for what does not run on the array."""
        if not self.on_array or not self.cycles:
            return "unit" if self.cycles else "host"
        shares = {
            "compute": self.counters["multiply_busy"] + self.counters["preload_busy"],
            "memory": self.counters["memory_access_busy"],
            "drain": self.counters["write_back_busy"],
        }
        name = max(shares, key=lambda each: shares[each])
        return name if shares[name] >= _START * self.cycles else "start"


@dataclass(frozen=True)
class PassOutcome:
    """One pass with one assumption about the steps."""

    work: Pass
    bound: Bound
    layers: tuple[LayerOutcome, ...]
    clock_mhz: float

    @property
    def cycles(self) -> float:
        """Of everything that is timed."""
        return sum(each.all_cycles for each in self.layers)

    @property
    def seconds(self) -> float:
        return self.cycles * 1e-6 / self.clock_mhz

    @property
    def macs(self) -> int:
        """Of everything, timed or not."""
        return sum(each.macs for each in self.layers)

    def macs_of(self, kind: str) -> int:
        return sum(each.macs for each in self.layers if each.kind == kind)

    @property
    def on_array(self) -> list[LayerOutcome]:
        """What the array runs: linear layers, and attention in some modes."""
        return [each for each in self.layers if each.on_array]

    @property
    def array_share(self) -> float:
        """Of the multiply-accumulates: those on the array."""
        return sum(each.macs for each in self.on_array) / self.macs

    @property
    def timed(self) -> bool:
        """Everything is: otherwise the sums are those of the linear layers only."""
        return all(each.cycles is not None for each in self.layers)

    @property
    def energy(self) -> Energy | None:
        """Of everything that is timed."""
        known = [each.energy for each in self.layers if each.energy is not None]
        return sum(known, Energy()) if known else None

    @property
    def busy(self) -> float:
        """Share of the cycles of what runs on the array in which the array executes a step."""
        steps = sum(each.counters["multiply_busy"] * each.count for each in self.on_array)
        return steps / sum(each.all_cycles for each in self.on_array)

    @property
    def steps_per_vector(self) -> float:
        steps = sum(each.counters["multiply_busy"] * each.count for each in self.on_array)
        return steps / sum(each.counters["weight_vectors"] * each.count for each in self.on_array)

    @property
    def error(self) -> float | None:
        """Largest of any layer on the array; None: of one it is not known."""
        errors = [each.error for each in self.on_array]
        known = [each for each in errors if each is not None]
        return max(known, default=0.0) if len(known) == len(errors) else None

    def share_sentence(self) -> str:
        """How much of the work runs on the array."""
        rest = "" if self.timed else "; the rest is on the host and not in the sums: linear layers only"
        return f"of {_large(self.macs)} MACs, {self.array_share:.2%} on the array{rest}"


@dataclass(frozen=True)
class Study:
    """A workload on a machine.

    Attributes:
        workload, architecture, steps: what was studied.
        attention: how products without packed weights count.
        output: what the layers write.
        outcomes: for each pass and each assumption about the steps.
        check: what `auto` found, None: another engine.
        energy_source: what the array's energy is taken from; None: no energy was asked for.
        unit_source: what attention and head unit takes, in words.
        notes: what the reader must know, a sentence each.
        seconds: that the study took.
        not_measured: what the energy leaves out.
    """

    workload: Workload
    architecture: Architecture
    steps: StepSource
    attention: str
    output: str
    outcomes: tuple[PassOutcome, ...]
    check: Check | None
    energy_source: str | None
    unit_source: str
    notes: tuple[str, ...]
    seconds: float
    not_measured: tuple[str, ...] = ()


def _large(number: float) -> str:
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.4g} {unit}"
    return f"{number:.0f}"
