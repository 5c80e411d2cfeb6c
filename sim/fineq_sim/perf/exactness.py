"""The twin held against the RTL: the same chain of jobs on both, all counters compared, no tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.jobs import OutputFormat
from fineq_sim.driver import Accelerator, Counters, Job, VerilatedTransport
from fineq_sim.driver.chain import Chain, chain_limit
from fineq_sim.driver.memory_timing import MemoryTiming
from fineq_sim.perf.cases import Case
from fineq_sim.perf.jobs import TwinJob, code_steps
from fineq_sim.perf.twin import run
from fineq_sim.reference.random_layers import random_activations, random_codes


@dataclass(frozen=True)
class Outcome:
    """Counters of a case on both sides."""

    case: Case
    rtl: Counters
    twin: Counters

    @property
    def differences(self) -> dict[str, int]:
        """By how much the twin's counters are larger, of those that differ."""
        pairs = ((name, self.twin[name] - value) for name, value in self.rtl.values.items())
        return {name: difference for name, difference in pairs if difference}


class Comparison:
    """A verilated machine beside its twin; made by `compared`.

    Args:
        transport: to the machine.
    """

    def __init__(self, transport: VerilatedTransport) -> None:
        self.transport = transport
        self.config: AcceleratorConfig = transport.config
        self.machine = Accelerator(transport)

    def outcome(self, case: Case) -> Outcome:
        """Run a case on both."""
        rng = np.random.default_rng(case.seed)
        jobs, tables = [], []
        for layer in case.layers:
            codes = random_codes(self.config, rng, layer.channels, layer.inner)
            loaded = self.machine.load_integers(codes, 0.01)
            activations = random_activations(rng, layer.tokens, layer.inner)
            jobs.append(
                Job(
                    loaded,
                    activations,
                    None if layer.output is OutputFormat.SUMS else np.full(layer.tokens, 0.02),
                    output=layer.output.name.lower(),
                    output_scale=0.1 if layer.output is OutputFormat.INT8 else None,
                    early_termination=layer.early_termination,
                )
            )
            tables.append(code_steps(codes, self.config, layer.early_termination))
        chain = Chain(jobs, self.machine.config, self.machine.memory, self.transport)
        try:
            first = chain.link()
            described = [first] + [fields["next"] for fields in chain.descriptors[:-1]]
            twins = [TwinJob.of_descriptor(*pair) for pair in zip(described, chain.descriptors, strict=True)]
            rtl = self._run_chain(first, case.memory, 100 * chain_limit(jobs, self.config))
        finally:
            chain.free()
            for job in jobs:
                self.machine.unload(job.layer)
        return Outcome(case, rtl, run(self.config, twins, tables, case.memory))

    def _run_chain(self, first: int, memory: MemoryTiming, limit: int) -> Counters:
        """As `Accelerator.run_descriptors`; the memory begins anew in the cycle in which the start is written."""
        registers = self.machine.registers
        registers.write("STATUS", done=1, error=1, access_error=1, job_done=1)
        registers.write("DESCRIPTOR", first)
        self.transport.set_memory(memory)
        registers.write("CONTROL", start=1, clear_counters=1)
        assert self.transport.wait(limit), "the machine does not come to an end"
        assert not registers.fields("STATUS")["error"], "the machine refuses the chain"
        return Counters(registers.counters(), True)


@contextmanager
def compared(machine: str | AcceleratorConfig, memory_size: int = 1 << 24) -> Iterator[Comparison]:
    """A verilated machine beside its twin.

    Raises:
        SimulatorError, TwinError: Verilator, a compiler or what they need is missing.
    """
    with VerilatedTransport(machine, memory_size=memory_size) as transport:
        yield Comparison(transport)
