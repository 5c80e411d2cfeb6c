"""Situations that random work may miss, one after another: every shape, every end of a chain, every refusal, aborts.

What is met is counted as functional coverage (`fineq_sim.coverage.machine`).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import cocotb
import numpy as np
from cocotb.task import bridge

from fineq_hw.config import MAX_LAYER_SIZE
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, encode_descriptor
from fineq_hw.interface.error_codes import ErrorCode
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat
from fineq_hw.interface.registers import REGISTERS, STAGES
from fineq_sim.benches.machine.accelerator_bench import AcceleratorBench
from fineq_sim.coverage.machine import ABORTS, EXTENTS, FORMATS, tiles
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.exceptions import AcceleratorError
from fineq_sim.driver.jobs import Job
from fineq_sim.driver.samples import Prepared, expected, load, spoilt_descriptors
from fineq_sim.reference.random_layers import random_activations, random_codes

LIMIT = 300
"""Silent cycles that the watchdog allows here."""


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def every_shape(dut, stall):
    """Sizes below, at, above a tile and a multiple of it in each direction; formats and early termination in turn."""
    tb = await AcceleratorBench.begun(dut, stall)
    config = tb.config
    sizes = {
        "tokens": _sizes(config.array.rows),
        "channels": _sizes(config.channels_per_tile),
        "inner": _sizes(config.array.columns),
    }
    kinds = list(product(FORMATS, (True, False)))
    turns = dict.fromkeys(map(tiles, product(EXTENTS, repeat=3)), 0)

    def job(extents: tuple[str, ...]) -> tuple[Job, np.ndarray]:
        tokens, channels, inner = (sizes[name][extent] for name, extent in zip(sizes, extents, strict=True))
        output, early = kinds[turns[tiles(extents)] % len(kinds)]
        turns[tiles(extents)] += 1
        codes = random_codes(config, tb.rng, channels, inner)
        scales = tb.rng.uniform(0.001, 0.1, tokens)
        activations = random_activations(tb.rng, tokens, inner)
        layer = load(tb.machine, codes, tb.rng)
        return Job(layer, activations, scales, output.lower(), "none", 0.05, early), codes

    def check() -> None:
        for tokens, channels in product(EXTENTS, repeat=2):
            jobs = [job((tokens, channels, inner)) for inner in EXTENTS]
            results = tb.machine.run_chain([job for job, _ in jobs])
            for (job_, codes), result in zip(jobs, results, strict=True):
                assert np.array_equal(result.values, expected(job_, codes)), (tokens, channels, job_.layer.inner)
                tb.machine.unload(job_.layer)

    await bridge(check)()


def _sizes(tile: int) -> dict[str, int]:
    return dict(zip(EXTENTS, (tile - 1, tile, 2 * tile, tile + 1), strict=True))


class Links:
    """Chains of one legal job, so often as asked, in memory; the last one may be spoilt or lead back to the first."""

    def __init__(self, machine: Accelerator, longest: int = 4) -> None:
        self.machine, self.prepared = machine, Prepared(machine)
        self.first = machine.memory.allocate(DESCRIPTOR_BYTES * longest)

    def write(self, length: int, spoilt: Mapping[str, int] | None = None, *, endless: bool = False) -> None:
        """`spoilt`: fields of the last descriptor."""
        for number in range(length):
            last = number == length - 1
            following = self.first if last else self.first + DESCRIPTOR_BYTES * (number + 1)
            fields = self.prepared.fields | {"last": int(last and not endless), "next": following}
            fields |= (spoilt or {}) if last else {}
            place = self.first + DESCRIPTOR_BYTES * number
            content = np.frombuffer(encode_descriptor(**fields), dtype=np.uint8)
            self.machine.transport.write_memory(place, content)

    def last(self, length: int) -> int:
        """Address of the last descriptor of so many."""
        return self.first + DESCRIPTOR_BYTES * (length - 1)

    def run(self) -> None:
        self.machine.run_descriptors(self.first, 100_000)

    def fails(self) -> str | None:
        """Name of the error that the chain ends with."""
        try:
            self.run()
        except AcceleratorError as error:
            return error.code
        raise AssertionError("the chain came to its end")

    def start(self) -> None:
        self.machine.registers.write("DESCRIPTOR", self.first)
        self.machine.registers.write("CONTROL", start=1, clear_counters=1)

    def abort(self) -> None:
        """Stop what runs; the reason is recorded."""
        registers = self.machine.registers
        registers.write("CONTROL", soft_reset=1)
        assert self.machine.transport.wait(10_000), "the abort does not end"
        assert registers.fields("ERROR")["code"] == ErrorCode.ABORTED.value
        registers.write("STATUS", error=1)


@cocotb.test()
@cocotb.parametrize(length=[1, 2, 3, 4])
async def chains_end_in_every_way(dut, length):
    """Done, refused, a bus error, aborted, given up: chains of every length, those without end among them."""
    tb = await AcceleratorBench.begun(dut)

    def check() -> None:
        transport = tb.transport
        machine = Accelerator(transport, watchdog=LIMIT)
        links = Links(machine)
        links.write(length)
        links.run()
        for endless in (False, True) if length == 1 else (False,):
            if not endless:
                links.write(length, {"tokens": 0})
                assert links.fails() == "ZERO_TOKENS"
            links.write(length, endless=endless)
            place = links.prepared.fields["destination"] if endless else links.last(length)
            transport.fault(place, 1, transport.fault_responses[0])
            assert links.fails() == ("WRITE_SLAVE_ERROR" if endless else "READ_SLAVE_ERROR")
            transport.fault(0, 0, 0)
            links.start()
            transport.wait(1)
            links.abort()
            transport.silence(("r",))
            assert links.fails() == "MEMORY_TIMEOUT"
            transport.silence(())
            links.prepared.check_usable()

    await bridge(check)()


@cocotb.test()
async def later_descriptors_are_refused(dut):
    """What makes the first descriptor of a chain be refused does so with a later one."""
    tb = await AcceleratorBench.begun(dut)

    def check() -> None:
        links = Links(tb.machine)
        spoilt = spoilt_descriptors(links.prepared)
        # Here the second one is spoilt, so its own address and what follows are others.
        spoilt["DESCRIPTOR_OVERLAPPED"] = {"destination": links.last(2)}
        spoilt["NEXT_MISALIGNED"] = {"last": 0, "next": links.first + 8}
        spoilt["NEXT_OVERLAPPED"] = {"last": 0, "next": links.prepared.fields["destination"]}
        for code, fields in spoilt.items():
            links.write(2, fields)
            assert links.fails() == code, (code, fields)
        links.write(2)
        place = links.last(2)
        content = tb.transport.read_memory(place, DESCRIPTOR_BYTES).copy()
        content[-1] = 1
        tb.transport.write_memory(place, content)
        assert links.fails() == ErrorCode.RESERVED_BITS.name
        links.prepared.check_usable()

    await bridge(check)()


@cocotb.test()
async def the_first_descriptor_is_refused(dut):
    """Codes that the driver's own checks leave out."""
    tb = await AcceleratorBench.begun(dut)

    def check() -> None:
        prepared = Prepared(tb.machine)
        prepared.write(last=0, next=prepared.fields["destination"])
        assert _code(prepared) == "NEXT_OVERLAPPED"
        assert _code(prepared, prepared.address + 4) == "DESCRIPTOR_MISALIGNED"
        beyond = tb.transport.memory_base + tb.transport.memory_size
        assert _code(prepared, beyond) == "DESCRIPTOR_OUTSIDE"
        if tb.config.max_inner_dimension < MAX_LAYER_SIZE:
            prepared.write(inner=tb.config.max_inner_dimension + 1)
            assert _code(prepared) == "INNER_OVERFLOWS"
        prepared.check_usable()

    await bridge(check)()


def _code(prepared: Prepared, address: int | None = None) -> str | None:
    try:
        prepared.run(address)
    except AcceleratorError as error:
        return error.code
    raise AssertionError("the descriptor was taken")


@cocotb.test()
async def accesses_are_refused_at_rest_and_at_work(dut):
    """Every code of ACCESS_ERROR, while the machine is idle and while it is busy, which goes on undisturbed."""
    tb = await AcceleratorBench.begun(dut)
    unmapped = 0xFF0

    def refused(code: ErrorCode) -> None:
        registers = tb.machine.registers
        assert registers.fields("ACCESS_ERROR")["code"] == code
        registers.write("STATUS", access_error=1)

    def check() -> None:
        transport, links = tb.transport, Links(tb.machine)
        for busy in (False, True):
            if busy:
                links.write(1, endless=True)
                links.start()
            assert not transport.write_register(REGISTERS["MAGIC"].offset, 0)
            refused(ErrorCode.READ_ONLY)
            assert not transport.write_register(unmapped, 1)
            refused(ErrorCode.UNMAPPED_WRITE)
            assert transport.read_register(unmapped) is None
            refused(ErrorCode.UNMAPPED_READ)
        control = REGISTERS["CONTROL"]
        assert not transport.write_register(control.offset, control.encode(start=1))
        refused(ErrorCode.START_WHILE_BUSY)
        assert not transport.write_register(REGISTERS["MEMORY_BASE"].offset, 0)
        refused(ErrorCode.WRITE_WHILE_BUSY)
        assert tb.machine.registers.fields("STATUS")["busy"]
        links.abort()
        links.prepared.check_usable()

    await bridge(check)()


@cocotb.test()
@cocotb.parametrize(output=[cocotb.Param(name, name) for name in FORMATS])
async def aborts_in_every_stage(dut, output):
    """An abort while each stage has not begun with the job, is under way, is done; then another job, bit for bit."""
    tb = await AcceleratorBench.begun(dut)
    config = tb.config

    def check() -> None:
        machine, transport = tb.machine, tb.transport
        shape = config.array.rows + 1, config.channels_per_tile + 1, config.array.columns + 1
        links = Links(machine)
        whole = Prepared(machine, output.lower(), shape)
        links.prepared = Prepared(machine, output.lower(), shape)
        other = Prepared(machine)
        whole.check_usable()
        total = machine.registers.counters()
        links.write(1, endless=True)
        met = set()
        for moment in (None, *map(int, np.linspace(1, 1.2 * total["cycles"], 12))):
            if moment is None:  # before the first word
                transport.silence(("r",))
            links.start()
            if moment:
                transport.wait(moment)
            else:
                machine.registers.write("CONTROL", soft_reset=1)
                transport.silence(())
            links.abort()
            counters = machine.registers.counters()
            for stage in STAGES:
                busy = counters[f"{stage}_busy"]
                begun = bool(moment) and busy > 0
                done = begun and busy >= total[f"{stage}_busy"]
                progress = "done" if done else "under way" if begun else "not begun"
                ABORTS.sample(stage=stage, progress=progress, format=output)
                met.add((stage, progress))
            other.check_usable()
        assert len(met) == 3 * len(STAGES), f"met only {sorted(met)}"

    await bridge(check)()


@cocotb.test()
async def every_format_and_function(dut):
    """With early termination and without."""
    tb = await AcceleratorBench.begun(dut)
    config = tb.config

    def check() -> None:
        tokens, channels, inner = config.array.rows, 5, config.array.columns + 1
        codes, activations = random_codes(config, tb.rng, channels, inner), random_activations(tb.rng, tokens, inner)
        layer, scales = load(tb.machine, codes, tb.rng), tb.rng.uniform(0.001, 0.1, tokens)
        jobs = [
            Job(layer, activations, scales, output.name.lower(), function.name.lower(), 0.05, early)
            for output, function, early in product(OutputFormat, ActivationFunction, (True, False))
            if output is not OutputFormat.SUMS or function is ActivationFunction.NONE
        ]
        for job, result in zip(jobs, tb.machine.run_chain(jobs), strict=True):
            assert np.array_equal(result.values, expected(job, codes)), (job.output, job.function)

    await bridge(check)()
