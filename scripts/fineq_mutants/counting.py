"""Mutants in a machine beside the cycle-level simulator (`fineq simulate-check`): a counter that differs notices them.

Most of what the performance counters count is not at the machine's ports, so benches see little of it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.errors import FineqError
from fineq.common.files import write_text
from fineq_hw.config import AcceleratorConfig
from fineq_hw.export.tops import Config
from fineq_mutants.circuits import Circuit
from fineq_mutants.matching import held_circuits, with_mutants
from fineq_mutants.netlist import SELECT_FILE
from fineq_mutants.sampling import Mutant
from fineq_mutants.verdicts import NotKept, Verdicts
from fineq_sim.driver import verilated
from fineq_sim.driver.memory_timing import TIMING_HEADER, MemoryTiming
from fineq_sim.driver.verilated import VerilatedTransport
from fineq_sim.perf.cases import random_cases
from fineq_sim.perf.constants import machine_constants
from fineq_sim.perf.exactness import Comparison
from fineq_sim.runs import simulators
from fineq_sim.runs.duts import accelerator_design
from fineq_sim.runs.verilated_program import build_program

_CASES, _SEED = 12, 16
_MEMORY = 1 << 22
_HARNESS = Path(verilated.__file__).with_name(*verilated.CODE_FILES)


class _Planted(VerilatedTransport):
    """A machine with faults, one of which lives, or none.

    Args:
        config: the machine.
        program: made of it.
        directory: where it runs; the number of the fault stands there.
    """

    def __init__(self, config: AcceleratorConfig, program: Path, directory: Path) -> None:
        self.config, self.memory_base, self.memory_size = config, 0, _MEMORY
        command = [str(program), "0", str(_MEMORY)]
        self._process = subprocess.Popen(
            command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self.set_memory(MemoryTiming())


def machines(tops: Mapping[str, Config]) -> dict[str, AcceleratorConfig]:
    """The accelerators among configurations by name."""
    return {name: config for name, config in tops.items() if isinstance(config, AcceleratorConfig)}


class Counting:
    """Tries mutants in one machine.

    Args:
        name: of the machine.
        config: its configuration.
        circuits: by name.
        mutants: all that its design shall have; those in circuits that it does not hold are left out.
        output: directory for the files of the run.
        cache: directory of built simulations.
        verdicts: those that are known.

    Attributes:
        modules: name in the design by name of the circuit.
    """

    def __init__(
        self,
        name: str,
        config: AcceleratorConfig,
        circuits: Mapping[str, Circuit],
        mutants: Sequence[Mutant],
        output: Path,
        cache: Path,
        verdicts: Verdicts,
    ) -> None:
        self.name, self.config, self.circuits, self.mutants = name, config, circuits, mutants
        self.output, self.cache, self.verdicts = output, cache, verdicts
        self.design = accelerator_design(config, cache)
        self.modules = dict(held_circuits(self.design, {each.verilog: each.module for each in circuits.values()}))
        self._program: Path | None = None

    def noticed(self, mutant: Mutant, only_kept: bool) -> str | None:
        """What differed first, or None.

        Raises:
            NotKept: it is not known, and nothing is to be run.
            FineqError: the machine and the simulator differ without any mutant.
            SimulatorError, TwinError: a program is missing or broke down.
        """
        circuit = dict(self.circuits[mutant.module].netlist)
        inputs = [
            dict(self.design.sources),
            [machine_constants(self.config), _CASES, _SEED, simulators.build_versions("verilator")],
            [self.modules[mutant.module], circuit, mutant.site],
        ]
        key = cache_key(
            "fineq_sim.perf.exactness",
            "fineq_sim.perf.cases",
            "fineq_mutants.operators",
            "fineq_mutants.netlist",
            inputs=inputs,
            files=[_HARNESS, TIMING_HEADER],
        )
        name = f"counting-{key}"
        kept = self.verdicts.get(name)
        if kept is None:
            if only_kept:
                raise NotKept
            kept = [self._differs(self._built(), mutant.number)]
            self.verdicts.put(name, kept)
        (found,) = kept
        return None if found is None else f"simulate-check/{self.name}: {found}"

    def _built(self) -> Path:
        if self._program is None:
            design = with_mutants(self.design, self.modules, self.circuits, self.mutants)
            self._program = build_program(f"mutants-{self.name}", design, _HARNESS, self.cache, headers=[TIMING_HEADER])
            if (difference := self._differs(self._program, 0)) is not None:
                raise FineqError(f"{self.name} differs from the simulator without any mutant: {difference}")
        return self._program

    def _differs(self, program: Path, number: int) -> str | None:
        directory = self.output / str(number)
        directory.mkdir(parents=True, exist_ok=True)
        write_text(directory / SELECT_FILE, f"{number}\n")
        try:
            with _Planted(self.config, program, directory) as transport:
                comparison = Comparison(transport)
                for case in random_cases(self.config, _CASES, _SEED):
                    if differences := comparison.outcome(case).differences:
                        return f"counters {', '.join(sorted(differences))}"
        except (AssertionError, FineqError) as error:
            return f"no end: {error}"
        return None
