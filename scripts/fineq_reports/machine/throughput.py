"""How busy the array of a whole accelerator is on one layer, beside the MAC accelerators; the report of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fineq.common.errors import UserError
from fineq.common.files import write_bytes
from fineq.common.markdown import table
from fineq_hw.interface.registers import STAGES
from fineq_reports.machine.layer import MeasuredLayer
from fineq_sim.driver import Accelerator, Counters, FunctionalTransport, VerilatedTransport
from fineq_sim.driver.transport import find_accelerator
from fineq_sim.reference.core_cycles import LayerCycles, layer_cycles

MACHINES: tuple[str, ...] = ("accelerator_64x64", "mac8x3_accelerator_64x64", "mac8x8_accelerator_64x64")
OUTPUTS: tuple[str, ...] = ("int8", "fixed", "sums")

TARGET = 0.9
"""Share of the cycles in which the array is to be busy, with int8 results."""

NAME = "throughput"


class WrongResult(UserError, RuntimeError):
    """The machine's results differ from those of the functional model."""


@dataclass(frozen=True)
class Measurement:
    """One layer on one machine.

    Attributes:
        machine, output: what ran.
        counters: of the run.
        array: what the cycle model says of the array alone, fed without a pause.
    """

    machine: str
    output: str
    counters: Counters
    array: LayerCycles

    @property
    def busy(self) -> float:
        """Share of the cycles in which the array executed a step."""
        share = self.counters.busy_share("multiply")
        assert share is not None
        return share

    @property
    def cycles(self) -> int:
        """Of the run: only machines with time are measured."""
        assert self.counters.cycles is not None
        return self.counters.cycles


def measure(
    layer: MeasuredLayer,
    machines: Iterable[str] = MACHINES,
    outputs: Iterable[str] = OUTPUTS,
    latency: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> list[Measurement]:
    """Run the layer on every machine with every output.

    Raises:
        SimulatorError: a simulation cannot be built or broke down.
        WrongResult: the results are not those of the functional model.
    """
    measurements = []
    activations, scales = layer.activations()
    for name in machines:
        config = find_accelerator(name)
        codes, weight_scales = layer.weights(config)
        say(f"building {name}")
        with (
            VerilatedTransport(config, latency=latency) as transport,
            FunctionalTransport(config) as functional,
        ):
            pair = [Accelerator(each) for each in (transport, functional)]
            loaded = [machine.load_integers(codes, weight_scales, name=name) for machine in pair]
            for output in outputs:
                results = [
                    machine.run(handle, activations, scales=scales, output=output, output_scale=layer.output_scale)
                    for machine, handle in zip(pair, loaded, strict=True)
                ]
                if not np.array_equal(results[0].values, results[1].values):
                    raise WrongResult(f"{name}: the results ({output}) differ from those of the functional model")
                array = layer_cycles(codes, layer.tokens, config.array)
                measurements.append(Measurement(name, output, results[0].counters, array))
                say(f"{name}, {output}: {results[0].counters.cycles:,} cycles, array busy {measurements[-1].busy:.1%}")
    return measurements


# -- report ----------------------------------------------------------------------------------------------------


def _row(each: Measurement) -> tuple[object, ...]:
    counters = each.counters
    steps = counters["multiply_busy"]
    return (
        f"`{each.machine}`",
        each.output,
        f"{counters.cycles:,}",
        f"{each.busy:.1%}",
        f"{steps:,}",
        f"{each.array.total:,}",
        f"{steps / counters['weight_vectors']:.3f}",
        f"{each.array.products / each.cycles:,.0f}",
        f"{counters['bytes_read'] / 1e6:.2f}",
        f"{counters['bytes_written'] / 1e6:.2f}",
    )


def _stages(measurements: list[Measurement]) -> str:
    rows = []
    for stage in STAGES:
        cells = []
        for each in measurements:
            cycles = each.cycles
            busy, stall = (each.counters[f"{stage}_{what}"] / cycles for what in ("busy", "stall"))
            cells.append(f"{busy:.1%} / {stall:.1%}")
        rows.append((stage.replace("_", " "), *cells))
    return table(("stage", *(f"`{each.machine}`" for each in measurements)), rows, "lr")


def as_markdown(layer: MeasuredLayer, measurements: list[Measurement], latency: int, picture: str) -> str:
    """The report."""
    first = [each for each in measurements if each.output == measurements[0].output]
    lines = [
        "# Throughput of the accelerators",
        "",
        f"Made by `{command(layer, latency)}`: one layer of {layer.tokens} tokens, {layer.channels} outputs and "
        f"{layer.inner} inputs on the verilated machines. Gaussian weights, recipe {layer.recipe} (8-bit MAC: "
        "symmetric per channel). The memory moves one bus word per cycle in each direction, latency "
        f"{latency}. Every result equals that of the functional model.",
        "",
        "`array busy` is the share of all cycles, from start to interrupt, in which the array executes a step; "
        "`array alone` is what the cycle model says of the array when nothing ever waits, `steps` the part of it that "
        "computes.",
        "",
        table(
            (
                *("machine", "results", "cycles", "array busy", "steps", "array alone", "steps per vector"),
                *("MACs per cycle", "MB read", "MB written"),
            ),
            [_row(each) for each in measurements],
            "llr",
        ),
        f"## Stages, {first[0].output} results",
        "",
        "Busy / stalled, share of the cycles; docs/hardware/registers.md says what counts as either.",
        "",
        _stages(first),
        f"![stages]({picture})",
    ]
    return "\n".join(lines) + "\n"


def command(layer: MeasuredLayer, latency: int) -> str:
    """The command line that made a report."""
    text = "fineq throughput"
    for name, value in vars(layer).items():
        if value != getattr(MeasuredLayer, name):
            text += f" --{name} {value}"
    return text if latency == 1 else f"{text} --latency {latency}"


def picture_png(runs: Sequence[tuple[str, Mapping[str, int]]]) -> bytes:
    """Bars of every stage: busy, stalled, nothing to do.

    Args:
        runs: machine and its counters.
    """
    from matplotlib.figure import Figure

    from fineq_reports.plotting import ACCENT, PALETTE, WIDTH, png_bytes, styled

    with styled():
        figure = Figure(figsize=(WIDTH, 0.7 + 1.7 * len(runs)), layout="constrained")
        names = [stage.replace("_", " ") for stage in STAGES]
        for axes, (machine, counters) in zip(figure.subplots(len(runs), 1, squeeze=False)[:, 0], runs, strict=True):
            cycles = counters["cycles"]
            busy = [counters[f"{stage}_busy"] / cycles for stage in STAGES]
            stall = [counters[f"{stage}_stall"] / cycles for stage in STAGES]
            axes.barh(names, busy, color=ACCENT, label="busy")
            axes.barh(names, stall, left=busy, color=PALETTE[1], label="stalled")
            axes.set_xlim(0, 1)
            axes.invert_yaxis()
            axes.grid(axis="y", visible=False)
            axes.set_title(f"{machine}: {cycles:,} cycles")
        axes.set_xlabel("share of the cycles")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
        return png_bytes(figure)


def first_runs(document: dict) -> list[tuple[str, Mapping[str, int]]]:
    """What the picture shows of a JSON report: each machine with the output that was measured first."""
    measurements = document["measurements"]
    return [(m["machine"], m["counters"]) for m in measurements if m["output"] == measurements[0]["output"]]


def as_dict(layer: MeasuredLayer, measurements: list[Measurement], latency: int) -> dict:
    """Everything in the report, for programs."""
    return {
        "layer": vars(layer),
        "latency": latency,
        "measurements": [
            {
                "machine": each.machine,
                "output": each.output,
                "array_busy": each.busy,
                "array_alone_cycles": each.array.total,
                "counters": dict(each.counters.values),
            }
            for each in measurements
        ],
    }


def write_report(layer: MeasuredLayer, measurements: list[Measurement], latency: int, directory: Path) -> list[Path]:
    """Write throughput.md, .json and .png; each appears whole or not at all.

    Raises:
        OSError: the place cannot be written.
    """
    document = as_dict(layer, measurements, latency)
    contents = {
        "md": as_markdown(layer, measurements, latency, f"{NAME}.png").encode(),
        "json": (json.dumps(document, indent=1) + "\n").encode(),
        "png": picture_png(first_runs(document)),
    }
    return [write_bytes(directory / f"{NAME}.{suffix}", content) for suffix, content in contents.items()]
